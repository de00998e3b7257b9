"""What one forward pass computes: on dense kernels, and on one that skips every zero weight."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.data.base import Images
from scratchcard.registry import metric


@metric(
    "flops",
    title="FLOPs",
    dimension="efficiency",
    better="lower",
    unit="",
    scale="log",
    caution="What a kernel would do that skips every zero; ordinary ones skip none: see latency.",
)
def flops(model: nn.Module, test: Images) -> Reading:
    """Multiplications and additions of one image's forward pass, zero weights skipped.

    Definition:
        A multiplication and an addition are two FLOPs. Counted are convolutions and products of
        matrices, each non-zero weight as often as it is used; a product of two activations, as
        in attention, in full. The part "dense" is the same with the zeros: what this network
        (smaller, if channels were removed) does on ordinary kernels. "speed-up" is dense over
        sparse, the most that unstructured sparsity could bring (left out if nothing is left).

    Formula:
        2 sum over layers of nnz(W) x uses,  uses = pixels of the output of a convolution (of the
        input of a transposed one), rows of the matrix that a linear layer reads

    Motivation:
        Kept weights in early layers are used at many pixels: of two masks of one sparsity one may
        leave several times as much to do.

    Advantages:
        Exact and without a clock. Operations are counted as they run, so grouped convolutions,
        shared weights and layers that are skipped are right.

    Limitations:
        Not time: see latency. Not counted are biases, normalisation, activations, pooling and
        sums; pixels of padding count. Weights that the network computes anew from others in
        each pass are taken for activations. Not applicable where an operation multiplies
        matrices in a way that is not known here (recurrent layers, for example).

    Source:
        Hoefler et al., "Sparsity in Deep Learning", JMLR 2021; the dense count is that of
        torch.utils.flop_counter.

    Args:
        model: The network, cut weights held at zero.
        test: Images, for their shape alone.

    >>> image = Images(torch.rand(1, 1, 1, 3), torch.zeros(1, dtype=torch.int64))
    >>> layer = nn.Linear(3, 2)
    >>> _ = nn.init.ones_(layer.weight), nn.init.zeros_(layer.weight[0, 1:])
    >>> reading = flops(nn.Sequential(nn.Flatten(), layer), image)
    >>> reading.value, reading.parts["dense"].value
    (8.0, 12.0)
    """
    found = count(model, test.take(torch.arange(1)).floats())
    parts = {"dense": Part(float(found.dense), 0.0, 1)}
    if found.sparse:
        parts["speed-up"] = Part(found.dense / found.sparse, 0.0, 1)
    return Reading(float(found.sparse), 0.0, 1, parts=parts)


@dataclass(frozen=True)
class Flops:
    """What a forward pass computes on dense kernels, and with every zero weight skipped."""

    dense: int
    sparse: int


def count(model: nn.Module, images: Tensor) -> Flops:
    """FLOPs of one forward pass of all ``images``, in evaluation mode.

    Args:
        model: Left as it is; a copy on the CPU is run.
        images: float [B, C, H, W].

    Raises:
        NotApplicable: An operation multiplies matrices in a way that is not known here.
    """
    private = copy.deepcopy(model).to("cpu").eval()
    counter = _Counter(private)
    # Fused attention would not be seen: it gives way to gradients, and to the kernel named MATH.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        # A clone of a leaf, for a network may normalise its input in place.
        wanted = images.detach().cpu().requires_grad_().clone()
        with counter:
            private(wanted)
    return Flops(2 * counter.dense, 2 * counter.sparse)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiplications while it is active.

    A weight is known by its memory, which views and transposes share: what lies in a parameter
    or buffer of ``model``.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dense = self.sparse = 0
        constants = [*model.parameters(), *model.buffers()]
        self._known = {tensor.untyped_storage()._cdata for tensor in constants}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run ``func``, and count it."""
        found = func(*args, **(kwargs or {}))
        rule = _RULES.get(func.overloadpacket)
        if rule is not None:
            operands, products = rule(found, *args)
            self.dense += products
            # Every number of an operand takes part in equally many products, so this is exact.
            self.sparse += min(
                [
                    products * int(operand.count_nonzero()) // operand.numel()
                    for operand in operands
                    if operand.numel() and operand.untyped_storage()._cdata in self._known
                ],
                default=products,
            )
        elif func.namespace not in _SPACES or _LIKE_PRODUCTS.search(func.overloadpacket.__name__):
            raise NotApplicable(f"how many FLOPs {func.overloadpacket} takes is not known")
        return found


Counted = tuple[list[Tensor], int]
"""The operands that may be weights, and how many multiplications there are."""


def _convolution(
    found: Tensor,
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *_: Any,
) -> Counted:
    pixels = (images if transposed else found).shape[2:]
    return [weight], weight.numel() * len(images) * math.prod(pixels)


def _product(found: Tensor, one: Tensor, other: Tensor, *_: Any) -> Counted:
    """Of matrices [..., m, k] and [..., k, n], or of a matrix and a vector [k]."""
    columns = other.shape[-1] if other.ndim > 1 else 1
    return [one, other], one.numel() * columns


def _added(found: Tensor, bias: Tensor, one: Tensor, other: Tensor, *_: Any) -> Counted:
    return _product(found, one, other)


_ATEN = torch.ops.aten
_RULES: dict[Any, Callable[..., Counted]] = {
    _ATEN.convolution: _convolution,
    **dict.fromkeys((_ATEN.mm, _ATEN.bmm, _ATEN.mv, _ATEN.dot), _product),
    **dict.fromkeys((_ATEN.addmm, _ATEN.baddbmm, _ATEN.addbmm, _ATEN.addmv), _added),
}
_SPACES = ("aten", "prim", "prims")
"""Operations of PyTorch's own; what others compute nobody knows."""
_LIKE_PRODUCTS = re.compile(
    r"(?<!ga)mm|mv$|dot$|addr$|matmul|conv(?!ert)|attention|transformer|rnn|lstm|gru|dist|fft"
    r"|(?<!upsample_)(?<!upsample_bi)(?<!upsample_tri)linear|linalg|matrix_exp"
)
"""Names of operations that multiply matrices; all that have no rule are refused."""
