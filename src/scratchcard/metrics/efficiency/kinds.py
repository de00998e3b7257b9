"""What the metrics of size share: a network's numbers, and of which kind its parameters are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from scratchcard.contracts import NotApplicable
from scratchcard.prunable import KINDS

WEIGHTS = "conv and linear weights"
"""What can be pruned by default: their weights, and the projections of attention."""

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict; what two layers share is one object under both names.

    Raises:
        NotApplicable: Something in it is no plain tensor, so its numbers cannot be counted.
    """
    found: Mapping[str, object] = model.state_dict(keep_vars=True)
    plain: dict[str, Tensor] = {}
    for name, value in found.items():
        fault = _fault(value)
        if fault or not isinstance(value, Tensor):
            raise NotApplicable(f"{name} {fault}, whose numbers cannot be counted one by one")
        plain[name] = value
    return plain


def _fault(value: object) -> str:
    """Why a value of a state dict cannot be counted; empty if it can."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, no tensor"
    if is_lazy(value):
        return "is a tensor that is not initialised yet"
    if type(value.detach()) is not Tensor or value.is_quantized or value.is_sparse:
        return f"is no plain tensor ({type(value).__name__}, {value.dtype}, {value.layout})"
    return ""


def by_kind(model: nn.Module) -> dict[str, list[Tensor]]:
    """The parameters, each once, by kind: weights, biases, normalisation, other; all are there.

    Raises:
        NotApplicable: There are none, or their numbers cannot be counted.

    >>> kinds = by_kind(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.PReLU()))
    >>> {kind: [p.numel() for p in own] for kind, own in kinds.items()}
    {'conv and linear weights': [6], 'biases': [2], 'normalisation': [2, 2], 'other': [1]}
    """
    state(model)
    kinds: dict[str, list[Tensor]] = {WEIGHTS: [], "biases": [], "normalisation": [], "other": []}
    seen: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                kinds[_kind(module, name)].append(parameter)
    if not seen:
        raise NotApplicable("the network has no parameters")
    return kinds


def _kind(module: nn.Module, name: str) -> str:
    if isinstance(module, _NORMS):
        return "normalisation"
    if "bias" in name:
        return "biases"
    weighted = isinstance(module, (*KINDS["conv"], *KINDS["linear"]))
    return WEIGHTS if weighted and name.endswith("weight") else "other"
