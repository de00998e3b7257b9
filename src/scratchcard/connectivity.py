"""Effective sparsity: which of the weights that a mask keeps lie on a path from input to output.

The network's own forward pass is run on signals that record where paths lead, and on nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.masks import Masks


def effective(model: nn.Module, masks: Masks, shape: Sequence[int]) -> Masks:
    """The kept weights that lie on some path of kept weights from an input to an output.

    A weight may be kept and yet do nothing: all that it reads is cut, or nobody reads its output
    (a path of biases alone does not count). With every kept weight one, biases zero,
    normalisation and activations left out and max-pooling made average-pooling, the outputs R of
    an image of ones count paths, and

        w is effective where w dR/dw > 0.

    Signals and their gradients are cut down to zero and one after each layer: the sign is all
    that counts, and no depth overflows or underflows. Weights that only ever read padding are on
    no path either.

    Args:
        model: Left as it is. Convolutions and linear layers with shortcuts, concatenation,
            BatchNorm and any elementwise activation.
        masks: Of its weights; those that they leave out are all kept.
        shape: Of one input: (channels, height, width), or (features,).

    Raises:
        NotApplicable: Paths are not defined where layers mix or multiply signals, as attention,
            LayerNorm and GroupNorm do.
        UserError: Masks of another model, or inputs that it does not take.

    Source:
        Vysogorets and Kempe, Connectivity Matters: Neural Network Pruning Through the Lens of
        Effective Sparsity, JMLR 2023.

    >>> chain = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> masks = Masks({"0.weight": torch.tensor([[True], [True]]),
    ...                "1.weight": torch.tensor([[True, False]])})
    >>> effective(chain, masks, (1,)).layers()
    {'0.weight': 1, '1.weight': 1}
    """
    masks = masks.to("cpu")
    private = _ones(model, masks)
    parameters = dict(private.named_parameters())
    weights = [parameters[name].requires_grad_() for name in masks]
    outputs = _outputs(private, shape)
    gradients: Sequence[Tensor | None] = [None] * len(weights)
    if outputs.requires_grad:
        gradients = torch.autograd.grad(outputs.sum(), weights, allow_unused=True)
    return Masks(
        {
            name: mask & (gradient > 0) if gradient is not None else torch.zeros_like(mask)
            for (name, mask), gradient in zip(masks.items(), gradients, strict=True)
        }
    )


@torch.no_grad()
def _ones(model: nn.Module, masks: Masks) -> nn.Module:
    """A private copy whose weights are one where they are kept; every other constant too.

    On the CPU in float64: there a sum is zero only if all its terms are.
    """
    private = copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)
    masks.apply_(private)
    for name, parameter in private.named_parameters():
        parameter.copy_(masks[name] if name in masks else torch.ones_like(parameter))
    for buffer in private.buffers():
        if buffer.is_floating_point():
            buffer.copy_(buffer != 0)
    return private


def _outputs(private: nn.Module, shape: Sequence[int]) -> Tensor:
    signal = torch.ones(1, *shape, dtype=torch.float64).as_subclass(Signal)
    try:
        outputs = private(signal)
    except RuntimeError as error:
        raise UserError(
            f"the model does not take an input of shape {tuple(shape)} ({error}); "
            "give the shape of one input without the batch, such as (3, 32, 32)"
        ) from error
    if not isinstance(outputs, Signal):
        raise _not_applicable(f"the network gives a {type(outputs).__name__}, not logits")
    return outputs.as_subclass(Tensor)


def _not_applicable(reason: str) -> NotApplicable:
    return NotApplicable(f"effective sparsity says nothing about this network because {reason}")


class _Binary(torch.autograd.Function):
    """One where positive, of signals on the way forward and of gradients on the way back."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor) -> Tensor:
        return (signal > 0).to(signal.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return (gradients[0] > 0).to(gradients[0].dtype)


class Signal(Tensor):
    """Positive where a path from the input arrives; passes through torch's functions as such."""

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Apply the rule for ``function``, found by its name (``add``, ``add_``, ``__iadd__``)."""
        kwargs = kwargs or {}
        name = function.__name__.strip("_")
        if name in _RULES:
            found = _RULES[name](*args, **kwargs)
            return _put(args[0], found) if function.__name__ in _IN_PLACE else found
        if name not in _UNCHANGED:
            raise _not_applicable(f"paths through {name} are not defined")
        return super().__torch_function__(function, types, args, kwargs)  # type: ignore[no-untyped-call]


def _plain(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Signal:
    """What ``function`` itself makes of signals, without any rule."""
    with torch._C.DisableTorchFunctionSubclass():
        found: Tensor = function(*args, **kwargs)
    return found.as_subclass(Signal)


def _put(place: Tensor, found: Tensor) -> Tensor:
    """Finish an operation that works in place."""
    return _plain(torch.Tensor.copy_, place, found)


def _same(signal: Signal, *_: Any, **__: Any) -> Signal:
    """Normalisation by channel, activations and casts: each number stays in its place."""
    return _plain(torch.clone, signal)


def _layer(function: Callable[..., Any]) -> Callable[..., Signal]:
    """A weighted layer without its bias."""

    def rule(
        signal: Signal, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Signal:
        _check_operands(function.__name__, signal, weight)
        return _plain(_Binary.apply, _plain(function, signal, weight, None, *args, **kwargs))

    return rule


def _check_operands(name: str, one: Any, other: Any) -> None:
    if isinstance(one, Signal) and isinstance(other, Signal):
        raise _not_applicable(f"{name} multiplies two signals, as attention and gates do")
    weight = one if isinstance(other, Signal) else other
    if bool(((weight != 0) & (weight != 1)).any()):
        raise _not_applicable(f"{name} uses weights that are computed from the parameters")


def _product(function: Callable[..., Any]) -> Callable[..., Signal]:
    """A product of matrices, of which one is a constant."""

    def rule(one: Any, other: Any) -> Signal:
        _check_operands(function.__name__, one, other)
        return _plain(_Binary.apply, _plain(function, one, other))

    return rule


def _sum(one: Any, other: Any, **_: Any) -> Signal:
    """A sum or difference of signals: paths lead on from both, but from no constant."""
    signals = [term for term in (one, other) if isinstance(term, Signal)]
    return signals[0] if len(signals) == 1 else _plain(torch.add, *signals)


def _scaled(one: Any, other: Any, **_: Any) -> Signal:
    """A signal times a constant: nothing arrives where that is zero."""
    if isinstance(one, Signal) and isinstance(other, Signal):
        raise _not_applicable("it multiplies two signals, as attention and gates do")
    signal, factor = (one, other) if isinstance(one, Signal) else (other, one)
    return _plain(torch.mul, signal, factor != 0)


def _quotient(one: Any, other: Any, **_: Any) -> Signal:
    """A signal divided by a constant."""
    if isinstance(other, Signal):
        raise _not_applicable("it divides by a signal")
    return _plain(torch.clone, one)


def _pool(average: Callable[..., Any]) -> Callable[..., Signal]:
    """Max-pooling, whose gradient follows the largest alone, as average-pooling."""

    def rule(
        signal: Signal,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Signal:
        spread = dilation if isinstance(dilation, Sequence) else (dilation,)
        if return_indices or max(spread) > 1:
            raise _not_applicable("it pools with indices or dilation")
        return _plain(average, signal, kernel_size, stride or kernel_size, padding, ceil_mode)

    return rule


def _adaptive_pool(average: Callable[..., Any]) -> Callable[..., Signal]:
    return lambda signal, output_size, return_indices=False: _plain(average, signal, output_size)


def _padded(signal: Signal, pad: Any, mode: str = "constant", value: Any = None) -> Signal:
    return _plain(functional.pad, signal, pad, mode)


def _joined(function: Callable[..., Any]) -> Callable[..., Signal]:
    """Signals side by side; from constants among them no path starts."""

    def rule(parts: Sequence[Tensor], *args: Any, **kwargs: Any) -> Signal:
        live = [p if isinstance(p, Signal) else torch.zeros_like(p) for p in parts]
        return _plain(function, live, *args, **kwargs)

    return rule


_SAME = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "celu", "selu", "gelu", "silu"),
    *("mish", "softplus", "softsign", "tanh", "sigmoid", "logsigmoid", "log_sigmoid", "hardtanh"),
    *("hardswish", "hardsigmoid", "clamp", "clamp_min", "clip", "batch_norm", "instance_norm"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    *("float", "double", "half", "bfloat16", "to", "clone", "contiguous"),
    "log_softmax",  # the end of a network: it moves all logits alike
)
"""What keeps every number in its place."""

_UNCHANGED = (
    *("get", "len", "size", "dim", "ndimension", "numel", "stride", "is_floating_point"),
    *("flatten", "unflatten", "reshape", "reshape_as", "view", "view_as", "squeeze", "unsqueeze"),
    *("permute", "transpose", "t", "movedim", "swapaxes", "expand", "flip", "roll", "getitem"),
    *("chunk", "split", "unbind", "narrow", "select", "channel_shuffle", "pixel_unshuffle"),
    *("sum", "mean", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
)
"""Functions that move, add up or average signals: they are applied as they are."""

_IN_PLACE = ("add_", "sub_", "mul_")
"""The rules that change a number, where networks call them for that alone."""

_RULES: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(("add", "iadd", "radd", "sub", "isub", "rsub", "subtract"), _sum),
    **dict.fromkeys(("mul", "imul", "rmul", "multiply"), _scaled),
    **dict.fromkeys(("div", "divide", "truediv", "itruediv"), _quotient),
    **{f"max_pool{d}d": _pool(getattr(functional, f"avg_pool{d}d")) for d in (1, 2, 3)},
    **{
        f"adaptive_max_pool{d}d": _adaptive_pool(getattr(functional, f"adaptive_avg_pool{d}d"))
        for d in (1, 2, 3)
    },
    **{f"conv{d}d": _layer(getattr(torch, f"conv{d}d")) for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": _layer(getattr(torch, f"conv_transpose{d}d")) for d in (1, 2, 3)},
    "linear": _layer(functional.linear),
    "matmul": _product(torch.matmul),
    "mm": _product(torch.mm),
    "pad": _padded,
    "cat": _joined(torch.cat),
    "concat": _joined(torch.cat),
    "stack": _joined(torch.stack),
    "zeros_like": lambda signal, **_: torch.zeros_like(signal.as_subclass(Tensor)),
}
"""What else a function does to signals, by its name without underscores."""
