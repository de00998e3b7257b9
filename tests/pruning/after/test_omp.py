"""One-shot magnitude against sorting with numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning import prune
from scratchcard.pruning.after.omp import OneShotMagnitude
from scratchcard.testing import check_method


def network() -> nn.Module:
    """Layers of very different scale, with exact zeros and equal magnitudes among the weights."""
    torch.manual_seed(0)
    conv, linear = nn.Conv2d(2, 5, 3), nn.Linear(20, 30)
    with torch.no_grad():
        conv.weight *= 10
        conv.weight[0] = 0
        linear.weight[:2] = 0.01
        linear.weight[2:4] = -0.01
    return nn.Sequential(conv, nn.BatchNorm2d(5), nn.Flatten(), linear)


@pytest.mark.filterwarnings("ignore:no weight is left")
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.2, 0.488, 0.9, 0.995])
def test_global_magnitude_is_a_sort(sparsity: float) -> None:
    model = network()
    conv, linear = (model.get_parameter(n).detach().numpy() for n in ("0.weight", "3.weight"))
    magnitudes = np.abs(np.concatenate([conv.ravel(), linear.ravel()]))
    kept = len(magnitudes) - round(sparsity * len(magnitudes))
    wanted = np.zeros(len(magnitudes), dtype=bool)
    wanted[np.argsort(-magnitudes, kind="stable")[:kept]] = True
    masks = prune(model, "omp", sparsity=sparsity)
    found = np.concatenate([masks[n].numpy().ravel() for n in ("0.weight", "3.weight")])
    np.testing.assert_array_equal(found, wanted)
    masks.check(model)


def test_uniform_magnitude_is_a_sort_in_each_layer() -> None:
    model = network()
    before = {n: p.detach().numpy().copy() for n, p in model.named_parameters()}
    masks = prune(model, "omp", sparsity=0.8, allocation="uniform")
    assert masks.layers() == {"0.weight": 18, "3.weight": 120}
    for name, kept in masks.layers().items():
        order = np.argsort(-np.abs(before[name].ravel()), kind="stable")
        wanted = np.zeros(order.size, dtype=bool)
        wanted[order[:kept]] = True
        np.testing.assert_array_equal(masks[name].numpy().ravel(), wanted)


def test_a_network_that_diverged_is_refused() -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("3.weight")[0, :7] = float("nan")
    with pytest.raises(UserError, match=r"7 scores of 3\.weight are infinite or not a number"):
        prune(model, "omp", sparsity=0.5)


def test_steps() -> None:
    method = OneShotMagnitude(rewind="3ep")
    assert (method.scored_at, method.starts_from) == ("end", "3ep")
    assert method.rounds(0.9) == (0.9,)
    with pytest.raises(UserError, match="step '3' is not one of"):
        OneShotMagnitude(rewind="3")


def test_what_is_cut_stays_cut() -> None:
    """Cut weights come back large, as after rewinding, but their masks do not."""
    model = network()
    first = prune(model, "omp", sparsity=0.5)
    with torch.no_grad():
        for name, mask in first.items():
            model.get_parameter(name)[~mask] = 99.0
    second = prune(model, "omp", sparsity=0.75, masks=first)
    assert all(not (second[name] & ~first[name]).any() for name in first)
    again = network()
    assert second == prune(again, "omp", sparsity=0.75)
    assert isinstance(second, Masks)


def test_conformance() -> None:
    check_method("omp")
    check_method("omp", rewind="0.02", allocation="uniform")
