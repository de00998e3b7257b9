"""File size: what is written reads back bit by bit, and is as long as it must be."""

import zlib
from collections.abc import Mapping

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from scratchcard.metrics import measure
from scratchcard.metrics.efficiency.file_size import packed, unpacked
from scratchcard.metrics.efficiency.kinds import state
from scratchcard.pruning.prune import prune, shrink
from scratchcard.registry import MODELS
from tests.metrics.efficiency.networks import small
from tests.shrinkable import IMAGES, LABELS, Tied, network

DATA = IMAGES, LABELS


def pruned(kind: str, sparsity: float) -> nn.Module:
    model = small(kind)
    prune(model, "random", sparsity=sparsity, allocation="uniform")
    return model


def bits_of(tensor: Tensor) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def check(tensors: Mapping[str, Tensor], *, sparse: bool = True) -> None:
    found = unpacked(packed(tensors, sparse=sparse))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert bits_of(found[name]) == bits_of(tensor), name


@pytest.mark.parametrize("kind", MODELS.names())
def test_networks_read_back(kind: str) -> None:
    model = small(kind)
    prune(model, "random", sparsity=0.9, allocation="uniform")
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check(state(model))
    check(state(model), sparse=False)
    again = small(kind, seed=1)
    again.load_state_dict(unpacked(packed(state(model))))
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_odd_numbers_read_back() -> None:
    rows = torch.zeros(40, 40)
    rows[0, :4] = torch.tensor([-0.0, float("nan"), float("inf"), 1e-45])
    assert bits_of(rows) != bits_of(torch.where(rows == 0, 0.0, rows))  # -0.0 equals zero
    tensors = {
        "rows": rows,
        "columns": rows.t(),
        "last": torch.zeros(2, 300, 1, 1).to(memory_format=torch.channels_last),
        "half": rows.bfloat16(),
        "double": rows.double(),
        "counter": torch.tensor(7),
        "zero": torch.tensor(0),
        "many": torch.arange(1000) // 990,
        "truth": torch.zeros(5000, dtype=torch.bool),
        "nothing": torch.zeros(0, 3),
        "dense": torch.rand(30, 30),
    }
    check(tensors)
    check(tensors, sparse=False)
    check({})


def test_what_is_shared_is_written_once() -> None:
    model = Tied()
    own = state(model)
    check(own)
    assert {"one.weight", "two.weight"} <= own.keys()
    untied = {name: tensor.detach().clone() for name, tensor in own.items()}
    sizes = [len(packed(tensors, sparse=False)) for tensors in (untied, own)]
    assert sizes[0] - sizes[1] == 6 * 7 * 4
    again = unpacked(packed(own))
    assert again["one.weight"] is again["two.weight"]


def test_dense_is_what_safetensors_writes() -> None:
    model = pruned("lenet", 0.5)
    parts = measure(model, "file-size", DATA).parts
    assert parts["dense"].value == len(save(dict(model.state_dict())))
    assert packed(state(model), sparse=False) == save(dict(model.state_dict()))


def test_packed_has_a_bit_a_number_and_what_is_not_zero() -> None:
    weight = torch.zeros(64, 100)
    weight.view(-1)[::10] = 1.5
    own = load(packed({"weight": weight}))
    assert {n: t.numel() * t.element_size() for n, t in own.items()} == {
        "weight": 640 * 4,
        "weight/bits": 6400 // 8,
    }
    assert list(load(packed({"weight": weight + 1}))) == ["weight"]


def test_value_is_the_smallest_form_and_shrinks_with_sparsity() -> None:
    values = []
    for sparsity in (0.0, 0.5, 0.9, 0.99):
        model = pruned("mlp", sparsity)
        reading = measure(model, "file-size", DATA)
        parts = {label: part.value for label, part in reading.parts.items()}
        written = packed(state(model))
        assert parts["packed"] == len(written)
        assert parts["compressed"] == len(zlib.compress(written))
        assert reading.value == min(parts.values())
        assert reading == measure(model, "file-size", DATA)
        values.append((parts["dense"], parts["packed"], parts["compressed"]))
    dense, half, less = (list(column) for column in zip(*values, strict=True))
    assert len(set(dense)) == 1
    assert half[1] < 0.54 * dense[1]
    assert half[2] < 0.14 * dense[2]
    assert less[3] < 0.6 * half[3]


def test_removed_channels_shrink_every_form() -> None:
    model = network("resnet B")
    before = measure(model, "file-size", DATA).parts
    shrink(model, "channels", sparsity=0.7, data=[(IMAGES, LABELS)])
    after = measure(model, "file-size", DATA).parts
    assert all(after[form].value < 0.6 * before[form].value for form in before)
    assert after["packed"].value == after["dense"].value
