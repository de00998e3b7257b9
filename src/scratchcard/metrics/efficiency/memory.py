"""How much memory one forward pass needs."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.data.base import Images
from scratchcard.probe import device_of
from scratchcard.registry import metric


@metric(
    "memory",
    title="Memory (bytes)",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
    caution="Zeros take as much memory as other weights: masks change nothing in it.",
)
def memory(model: nn.Module, test: Images) -> Reading:
    """Bytes of the weights and of all activations that are alive at once, for one image.

    Definition:
        "weights" are the bytes of all parameters and buffers. "activations" is the peak, over the
        operations of one image's forward pass, of the bytes of all tensors that then exist beside
        the weights: the image, what was just computed, and what a shortcut still waits for. The
        pass is PyTorch's eager one, without gradients. The value is their sum.

    Formula:
        sum over weights of bytes + max over operations t of sum over tensors alive after t of bytes

    Motivation:
        What decides whether a network fits a small device; of removed channels both parts shrink.

    Advantages:
        Counted, not measured: the same number on every run, no matter what else is allocated.

    Limitations:
        What a kernel allocates for itself (workspace, copies in another layout) is not seen, nor
        what the allocator rounds up; a compiled network may need less. Weights are counted as
        they are held, dense; see file-size for what sparse storage saves.

    Source:
        PyTorch documentation, "Understanding CUDA Memory Usage", on live tensors.

    Args:
        model: The network.
        test: Images, for their shape alone.

    >>> image = Images(torch.rand(1, 1, 1, 3), torch.zeros(1, dtype=torch.int64))
    >>> parts = memory(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), image).parts
    >>> parts["weights"].value, parts["activations"].value
    (32.0, 20.0)
    """
    private = copy.deepcopy(model).eval()
    weights = [*private.parameters(), *private.buffers()]
    image = test.take(torch.arange(1)).floats().to(device_of(model)).clone()
    live = _Live(weights)
    live.add(image)
    with torch.no_grad(), live:
        private(image)
    own = sum(tensor.numel() * tensor.element_size() for tensor in weights)
    if not own:
        raise NotApplicable("the network has no parameters")
    parts = {"weights": Part(float(own), 0.0, 1), "activations": Part(float(live.peak), 0.0, 1)}
    return Reading(float(own + live.peak), 0.0, 1, parts=parts)


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Watches tensors come and go while it is active; views count with the memory they share.

    Attributes:
        peak: The most bytes that were alive at once, ``known`` tensors apart.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run ``func``, and take note of what it made."""
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, Tensor):
                self.add(leaf)
        return found

    def add(self, tensor: Tensor) -> None:
        """Count the memory of ``tensor`` until it is freed."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._freed, key, size)

    def _freed(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._now -= size
