"""How many bytes a network takes on a disk, written in full or without its zeros."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.masks import Masks
from scratchcard.metrics.efficiency.kinds import state
from scratchcard.registry import metric

_BITS = "/bits"
"""Ends the name under which a file has the bits of a tensor."""
_ENTRY = 128
"""Bytes that the bits' entry in the header takes, or a little less."""


@metric(
    "file-size",
    title="File size (bytes)",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
)
def file_size(model: nn.Module) -> Reading:
    """Bytes of the smallest file from which the weights can be read back, bit by bit.

    Definition:
        The state dict in safetensors: parameters and kept buffers in their own type, as a rule
        float32, what layers share once. "dense" has it in full; of a network whose channels were
        removed that is the small network. "packed" has, of every tensor that gets smaller so,
        one bit a number and only the numbers that are not zero. "compressed" is the packed file
        through zlib, which shortens the bits where few are set (and float32 by some 8 %). The
        value is the smallest of the three.

    Formula:
        packed = header + sum over tensors of min(b N, b nnz + N / 8),  b bytes a number

    Motivation:
        That a sparse network's file is as large as a dense one's is what users of pruning ask
        about first. It need not be, and nothing is lost.

    Advantages:
        The files are really made, with every byte of overhead; they read back to equal tensors.

    Limitations:
        Nothing is rounded or quantised, which saves more. In memory the network is as large as
        before. The last bytes depend on the version of zlib.

    Source:
        Han et al., "Deep Compression", ICLR 2016, without what changes the weights.

    Args:
        model: The network, cut weights held at zero.
    """
    own = state(model)
    if not any(tensor.numel() for tensor in own.values()):
        raise NotApplicable("the network keeps no numbers")
    small = packed(own)
    sizes = {
        "dense": len(packed(own, sparse=False)),
        "packed": len(small),
        "compressed": len(zlib.compress(small)),
    }
    n = sum(tensor.numel() for tensor in own.values())
    parts = {form: Part(float(size), 0.0, n) for form, size in sizes.items()}
    return Reading(float(min(sizes.values())), 0.0, n, parts=parts)


def packed(tensors: Mapping[str, Tensor], *, sparse: bool = True) -> bytes:
    """A safetensors file of ``tensors``; those with enough zeros as bits and non-zero numbers.

    Args:
        tensors: By name; the same object under two names is written once.
        sparse: Whether zeros are left out at all.

    >>> weight = torch.zeros(40, 40)
    >>> weight[3, 7] = -0.5
    >>> len(packed({"w": weight}, sparse=False)), len(packed({"w": weight}))
    (6472, 388)
    >>> torch.equal(unpacked(packed({"w": weight}))["w"], weight)
    True
    """
    first: dict[int, str] = {}
    same = {name: first.setdefault(id(tensor), name) for name, tensor in tensors.items()}
    aliases = {name: other for name, other in same.items() if name != other}
    # Channels-last tensors are no rows of numbers, and views of one memory would be refused.
    full = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in tensors.items()
        if name not in aliases
    }
    bits = Masks({name: _set(tensor) for name, tensor in full.items()} if sparse else {})
    bits = Masks({name: own for name, own in bits.items() if _worth_it(full[name], own)})
    shapes = bits.shapes()
    stored = {name: tensor[bits[name]] if name in bits else tensor for name, tensor in full.items()}
    stored |= {name + _BITS: torch.from_numpy(own) for name, own in bits.pack().items()}
    assert len(stored) == len(full) + len(bits), f"a name ends in {_BITS}"
    notes = json.dumps([shapes, aliases], separators=(",", ":"))
    data: bytes = save(stored, {"scratchcard": notes} if shapes or aliases else None)
    return data


def unpacked(data: bytes) -> dict[str, Tensor]:
    """The inverse of ``packed``: equal tensors by the same names."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    notes = header.get("__metadata__", {}).get("scratchcard", "[{}, {}]")
    shapes, aliases = json.loads(notes)
    stored: dict[str, Tensor] = load(data)
    bits = {name: stored.pop(name + _BITS).numpy() for name in shapes}
    for name, mask in Masks.unpack(bits, shapes).items():
        full = torch.zeros(mask.shape, dtype=stored[name].dtype)
        full[mask] = stored[name]
        stored[name] = full
    return stored | {name: stored[first] for name, first in aliases.items()}


def _set(tensor: Tensor) -> Tensor:
    """Which numbers have a bit that is set: -0.0 has one, though it equals zero."""
    if not tensor.numel():
        return torch.zeros(tensor.shape, dtype=torch.bool)
    numbers = tensor.reshape(-1).view(torch.uint8).reshape(*tensor.shape, -1)
    return (numbers != 0).any(dim=-1)


def _worth_it(tensor: Tensor, bits: Tensor) -> bool:
    left = int(bits.sum()) * tensor.element_size() + math.ceil(tensor.numel() / 8)
    return left + _ENTRY < tensor.numel() * tensor.element_size()
