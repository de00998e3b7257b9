"""Which weights of a network may be pruned, and which cannot be, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from torch import nn
from torch.nn.parameter import is_lazy

from scratchcard.contracts import UserError

KINDS: Mapping[str, tuple[type[nn.Module], ...]] = {
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "linear": (nn.Linear, nn.MultiheadAttention),
    "embedding": (nn.Embedding,),
}
"""What ``prunable`` may name; biases and normalisation are never pruned."""

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""The linear maps that nn.MultiheadAttention holds itself; ``out_proj`` is an nn.Linear."""


def prunable(
    model: nn.Module, kinds: Sequence[str] = ("conv", "linear")
) -> dict[str, nn.Parameter]:
    """The weights that may be pruned, by their names in ``state_dict``, in the model's order.

    A weight that several layers share counts once, under its first name; it may be pruned if any
    of these layers is of a kind that is named (an embedding tied to a linear layer: by either).

    Args:
        model: Any network of plain parameters.
        kinds: Out of ``"conv"``, ``"linear"`` (the projections of attention too), ``"embedding"``.

    Raises:
        UserError: An unknown kind, a model with nothing to prune, or a weight that masks cannot
            hold at zero: parametrised, uninitialised, sharded, quantised or with sparse gradients.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UserError(f'cannot prune "{unknown[0]}" (known: {", ".join(KINDS)})')
    weights = {id(weight) for kind in kinds for weight in _weights(model, KINDS[kind])}
    # By way of named_parameters, a weight that two layers share is counted once.
    found = {name: p for name, p in model.named_parameters() if id(p) in weights}
    if not found:
        raise UserError(f"the model has no {' or '.join(kinds)} weights to prune")
    return found


def _weights(model: nn.Module, types: tuple[type[nn.Module], ...]) -> Iterator[nn.Parameter]:
    for name, module in model.named_modules():
        if type(module).__name__ == "FullyShardedDataParallel":
            raise _refusal(name, "is sharded by FSDP", "prune before sharding, or train with DDP")
        if not isinstance(module, types):
            _refuse_packed(name, module, types)
            continue
        for key in _PROJECTIONS if isinstance(module, nn.MultiheadAttention) else ("weight",):
            weight = getattr(module, key, None)
            if weight is not None:
                yield _plain(f"{name}.{key}".lstrip("."), module, key)


def _refuse_packed(name: str, module: nn.Module, types: tuple[type[nn.Module], ...]) -> None:
    """Refuse a quantised layer: its weight is a method, its class named as the floating one."""
    named = type(module).__name__ in {t.__name__ for t in types}
    if named and callable(getattr(module, "weight", None)):
        raise _refusal(name, "is quantised", "prune the floating-point model, then quantise it")


def _plain(name: str, module: nn.Module, key: str) -> nn.Parameter:
    """The parameter ``key`` of ``module``, or an error that names the mend."""
    weight = module._parameters.get(key)
    if weight is None:
        raise _refusal(
            name,
            "is no parameter but computed from others",
            "make it one, with torch.nn.utils.parametrize.remove_parametrizations, "
            "torch.nn.utils.prune.remove or what undoes its hook",
        )
    if is_lazy(weight):
        raise _refusal(name, "is not initialised yet", "pass one batch through the model first")
    if any(base.__name__ == "DTensor" for base in type(weight).__mro__):
        raise _refusal(name, "is a DTensor", "prune before sharding, or train with DDP")
    if not weight.is_floating_point() or weight.is_quantized:
        raise _refusal(name, f"is {weight.dtype}", "prune the floating-point model, then quantise")
    if getattr(module, "sparse", False):
        raise _refusal(name, "has sparse gradients", "build the layer with sparse=False")
    return weight


def _refusal(name: str, fault: str, mend: str) -> UserError:
    return UserError(f"cannot prune {name or 'the model'}: it {fault}; {mend}")
