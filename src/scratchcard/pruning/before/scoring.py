"""What scores made of gradients share: a private copy to differentiate, the loss, and its checks.

The copy takes every change of mode, precision and statistics, so the network stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from scratchcard.contracts import Context, UserError
from scratchcard.masks import Masks
from scratchcard.probe import device_of

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def private_copy(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A copy in evaluation mode, of precision ``dtype`` at least, to do anything with."""
    private = copy.deepcopy(model).eval()
    return private.to(torch.promote_types(_dtype_of(private), dtype))


@contextmanager
def derivatives(model: nn.Module) -> Iterator[None]:
    """Gradients on, reduced precision off, and no fused attention, which has no second derivative.

    The caller may be in ``torch.no_grad`` or ``torch.autocast``.
    """
    with (
        torch.enable_grad(),
        torch.autocast(device_of(model).type, enabled=False),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield


def training_loss(model: nn.Module, ctx: Context, temperature: float = 1.0) -> torch.Tensor:
    """Mean cross-entropy of ``model(images) / temperature`` on the context's batch, in one pass.

    BatchNorm normalises by the batch, as in training; dropout is off, for a score is no draw.

    Args:
        model: A private copy in evaluation mode; its BatchNorm statistics change.
        ctx: With images and labels.
        temperature: Divides the logits.

    Raises:
        UserError: BatchNorm has but one image to take statistics of, or a label is no class.
    """
    assert ctx.images is not None, "a score of gradients needs images"
    assert ctx.labels is not None, "a score of gradients needs labels"
    norms = [module for module in model.modules() if isinstance(module, BATCH_NORMS)]
    if norms and len(ctx.images) < 2:
        raise UserError("BatchNorm has no statistics of a single image; pass a batch of 2 or more")
    for norm in norms:
        norm.train()
    place = device_of(model)
    logits = model(ctx.images.to(place, _dtype_of(model)))
    if int(ctx.labels.min()) < 0 or int(ctx.labels.max()) >= logits.shape[1]:
        raise UserError(
            f"labels run from {int(ctx.labels.min())} to {int(ctx.labels.max())}, but the network "
            f"tells {logits.shape[1]} classes: 0 to {logits.shape[1] - 1}"
        )
    return nn.functional.cross_entropy(logits / temperature, ctx.labels.to(place).long())


def weights_of(model: nn.Module, masks: Masks) -> dict[str, nn.Parameter]:
    """The weights of ``model`` that ``masks`` name.

    Raises:
        UserError: One of them is frozen.
    """
    weights = {name: model.get_parameter(name) for name in masks}
    for name, weight in weights.items():
        if not weight.requires_grad:
            raise UserError(
                f"{name} is frozen (requires_grad is False), so it has no gradient to be scored "
                "by; call model.requires_grad_(True)"
            )
    return weights


def gradients(
    output: torch.Tensor, weights: Mapping[str, torch.Tensor], *, twice: bool = False
) -> dict[str, torch.Tensor]:
    """The gradient of the number ``output`` by each weight.

    Args:
        output: A scalar.
        weights: By name.
        twice: Whether the gradients shall be differentiated in turn.

    Raises:
        UserError: The output does not depend on a weight.
    """
    found: tuple[torch.Tensor | None, ...] = (None,) * len(weights)
    if output.requires_grad:
        found = torch.autograd.grad(
            output, list(weights.values()), create_graph=twice, allow_unused=True
        )
    result = {name: g for name, g in zip(weights, found, strict=True) if g is not None}
    for name in weights:
        if name not in result:
            raise UserError(
                f"{name} gets no gradient: the network's output does not depend on it; remove "
                "that layer from the model, or detach() and no_grad() from its forward"
            )
    return result


def checked(scores: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The scores on the CPU.

    Raises:
        UserError: All of them are zero.
    """
    if not any(bool(score.any()) for score in scores.values()):
        raise UserError(
            "every score is zero, so there is nothing to choose by: the network passes no signal "
            "from its images to its logits; look for layers whose weights are all zero or cut"
        )
    return {name: score.detach().cpu() for name, score in scores.items()}


def _dtype_of(model: nn.Module) -> torch.dtype:
    return next(p.dtype for p in model.parameters() if p.is_floating_point())
