"""Whether logits are piecewise linear in the pixels, proven by the operations that made them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node

STRAIGHT = {
    *("Abs", "AdaptiveAvgPool2D", "AdaptiveMaxPool2D", "Add", "Amax", "Amin", "AsStrided"),
    *("AvgPool2D", "Cat", "ChannelShuffle", "Clamp", "ClampMax", "ClampMin", "Clone"),
    *("Col2Im", "ConstantPadNd", "Cumsum", "Expand", "Flip", "Gather", "Hardshrink", "Hardsigmoid"),
    *("Hardtanh", "Im2Col", "Index", "IndexSelect", "LeakyRelu", "MaskedFill", "Max"),
    *("MaxPool2DWithIndices", "Maximum", "Mean", "Min", "Minimum", "Neg", "Permute"),
    *("PixelShuffle", "PixelUnshuffle", "ReflectionPad2D", "Relu", "Repeat"),
    *("ReplicationPad2D", "ReshapeAlias", "Roll", "RreluWithNoise", "Rsub", "Select"),
    *("Slice", "Softshrink", "Split", "Squeeze", "Stack", "Sub", "Sum", "T", "Threshold"),
    *("ToCopy", "Transpose", "Unbind", "UnsafeView", "Unsqueeze", "UpsampleBilinear2D"),
    *("UpsampleNearest2D", "View", "Where"),
}
"""Operations of torch that are piecewise linear in all their tensors together."""
PRODUCTS = {"Addmm", "Baddbmm", "Bmm", "Convolution", "Mm", "Mul", "Mv", "PreluKernel"}
"""Those that are so where one tensor alone depends on the image."""
NORMALISATIONS = {"CudnnBatchNorm", "NativeBatchNorm"}
"""Those that are so, too, but for a batch normalised by itself."""


def piecewise_linear(logits: Tensor) -> bool:
    """Whether logits that autograd has followed are made by piecewise linear operations alone.

    Operations that are not known to be so count as curved, whatever their values: GELU, softmax
    and LayerNorm, a product of two things that both depend on the image, and everything that is
    not torch's own. So nothing that is called outside of layers slips through, nor what is flat
    on these images by chance.

    Args:
        logits: Of a network whose parameters want no gradients, of images that do.

    >>> import torch
    >>> x = torch.ones(1, 3, requires_grad=True)
    >>> [piecewise_linear(y) for y in ((2 * x).relu() - 1, x * x, x.tanh())]
    [True, False, False]
    """
    return all(_straight(node) for node in _nodes(logits.grad_fn))


def _nodes(last: Node | None) -> Iterator[Node]:
    """Of the graph, each once; where images begin is none."""
    known, waiting = set(), [last]
    while waiting:
        node = waiting.pop()
        if node is None or node in known or node.name() == "torch::autograd::AccumulateGrad":
            continue
        known.add(node)
        yield node
        waiting += [other for other, _ in node.next_functions]


def _straight(node: Node) -> bool:
    """Whether an operation is piecewise linear in what depends on the images."""
    kind, ending, version = node.name().partition("Backward")
    if not (ending and version.isdigit()):  # a user's own has no number
        return False
    depends = [other is not None for other, _ in node.next_functions]
    if kind == "Div":
        return not any(depends[1:])
    if kind in NORMALISATIONS and node._saved_training:  # type: ignore[attr-defined]
        return False
    return kind in STRAIGHT or (kind in PRODUCTS | NORMALISATIONS and sum(depends) == 1)
