"""The untrained twin: fresh weights, the same ones missing, whatever was trained."""

from __future__ import annotations

import copy

import pytest
import torch

from scratchcard import models
from scratchcard.contracts import Task
from scratchcard.masks import Masks
from scratchcard.metrics.interpretability.untrained import untrained


@pytest.mark.parametrize(
    ("kind", "params"), [("cifar-resnet", {"depth": 8}), ("vit", {"dim": 12, "depth": 1})]
)
def test_weights_are_drawn_anew_and_pruned_ones_stay_so(kind: str, params: dict[str, int]) -> None:
    dense = models.build(kind, Task(3, 8, 8, 3), params, 0)
    for name, tensor in (*dense.named_parameters(), *dense.named_buffers()):
        if tensor.is_floating_point() and not name.startswith("normalise"):
            tensor.data += 0.3  # trained
    whole = untrained(dense).state_dict()
    masks = Masks.ones(dense).shuffled(torch.Generator().manual_seed(0))
    masks = Masks({n: torch.rand(m.shape) < 0.3 for n, m in masks.items()})
    sparse = copy.deepcopy(dense)
    masks.apply_(sparse)
    before = {key: tensor.clone() for key, tensor in sparse.state_dict().items()}
    twin = untrained(sparse)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(sparse.state_dict()[name], before[name])
        wanted = whole[name] * masks[name] if name in masks else whole[name]
        if "in_proj" not in name and "token" not in name and "pos_" not in name:
            assert torch.equal(tensor, wanted), name
        if name.endswith("weight") and tensor.ndim > 1:
            assert not torch.equal(tensor, before[name]), name
    for name, buffer in twin.named_buffers():
        if name.endswith("running_mean"):
            assert not buffer.any()
    others = untrained(models.build(kind, Task(3, 8, 8, 3), params, 1))
    first = next(name for name, _ in twin.named_parameters() if name.startswith("conv"))
    assert torch.equal(others.state_dict()[first], whole[first])


def test_layers_of_equal_shape_are_drawn_apart() -> None:
    drawn = untrained(models.build("cifar-resnet", Task(3, 8, 8, 3), {"depth": 14}, 0)).state_dict()
    assert not torch.equal(drawn["layer3.1.conv1.weight"], drawn["layer3.1.conv2.weight"])


def test_what_knows_no_reset_is_put_in_random_order() -> None:
    network = models.build("vit", Task(3, 8, 8, 3), {"dim": 12, "depth": 1}, 0)
    name = "encoder.pos_embedding"
    own, other = network.get_parameter(name), untrained(network).get_parameter(name)
    assert not torch.equal(own, other)
    assert torch.equal(own.flatten().sort()[0], other.flatten().sort()[0])
