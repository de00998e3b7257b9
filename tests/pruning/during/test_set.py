"""SET: what it drops against sorting, and what it grows against chance."""

import numpy as np
import torch
from scipy import stats
from torch import nn

from scratchcard.contracts import Context, Moment
from scratchcard.masks import Masks
from scratchcard.pruning.during.sparse_evolutionary import SparseEvolutionaryTraining
from scratchcard.seeds import torch_stream
from scratchcard.testing import check_method
from tests.asking import network, started, trained


def test_a_constant_share_of_the_smallest_is_dropped() -> None:
    updates = trained(SparseEvolutionaryTraining(updates=1))
    assert [update.step for update in updates] == list(range(20, 180, 20))  # epochs
    for update in updates:
        for name, before in update.before.items():
            magnitude = update.weights[name].abs()
            count = int(before.sum()) * 3 // 10
            threshold = magnitude[before].sort().values[count]
            assert update.after[name][magnitude >= threshold].all()
            new = update.after[name] & ~before
            returned = update.after[name] & before & (magnitude < threshold)
            assert int(new.sum()) + int(returned.sum()) == count


def answer(seed: int, mask: torch.Tensor) -> torch.Tensor:
    """One update of a layer whose weights are their own numbers, without any gradient."""
    model = nn.Linear(mask.shape[1], mask.shape[0], bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.arange(1.0, mask.numel() + 1).view(mask.shape) * mask)
    context = Context(model, Masks({"weight": mask}), 0.5, torch_stream(seed, "update", 10))
    masks = SparseEvolutionaryTraining().update(context, Moment(10, 10, 500))
    assert masks is not None
    return masks["weight"]


def test_every_place_is_equally_likely() -> None:
    """Also that of a weight just dropped; over 1,000 seeds, 12 of 52 places are grown."""
    mask = (torch.arange(80) % 2 == 0).view(8, 10)
    kept = mask & (torch.arange(80).view(8, 10) >= 24)
    counts = np.zeros(80)
    for seed in range(1000):
        after = answer(seed, mask)
        assert after[kept].all()
        assert int(after.sum()) == 40
        counts += after.numpy().ravel()
    places = counts[~kept.numpy().ravel()]
    assert len(places) == 52
    share = 12 / 52
    # Drawn without replacement: the variance of a sum of squares is that of 51 degrees.
    chi2 = ((places - 1000 * share) ** 2).sum() / (1000 * share * (1 - share)) * 51 / 52
    assert 0.001 < stats.chi2.sf(chi2, df=51) < 0.999


def test_growth_depends_on_the_generator_alone() -> None:
    mask = (torch.arange(80) % 2 == 0).view(8, 10)
    torch.manual_seed(1)
    first = answer(0, mask)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(answer(0, mask), first)
    assert not torch.equal(answer(1, mask), first)
    torch.set_rng_state(state)
    before = torch.get_rng_state()
    method, model = SparseEvolutionaryTraining(), network()
    context = Context(model, started(method, model, 0.8), 0.8, torch_stream(0, "update"))
    assert method.update(context, Moment(20, 20, 1000)) is not None
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_do_not_grow_alike() -> None:
    model = nn.Sequential(nn.Linear(20, 20, bias=False), nn.Linear(20, 20, bias=False))
    mask = torch.arange(400).view(20, 20) < 100
    masks = Masks({"0.weight": mask, "1.weight": mask})
    context = Context(model, masks, 0.75, torch_stream(0, "update"))
    after = SparseEvolutionaryTraining().update(context, Moment(10, 10, 500))
    assert after is not None
    one, two = (after[name] & ~mask for name in masks)
    assert int((one & two).sum()) < int(one.sum()) / 2


def test_conformance() -> None:
    check_method("set")
