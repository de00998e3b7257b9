"""What attacks raise, and its gradient; computed in float64, so that confidence hides nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from scratchcard.contracts import UserError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits [B, K] and labels [B], one number an image [B]; larger is worse for the network."""


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """The log-odds against the label: the cross-entropy for attacks, without its underflow.

    The cross-entropy is log(1 + exp(log-odds)): both order images alike, and their gradients
    point the same way. But the cross-entropy's has the factor 1 - p_y, which is 0 in float32 once
    the label leads by 17 (by 104 for the other classes); this one's has not.

    >>> sure = torch.tensor([[0.0, 300.0]])
    >>> log_odds(sure, torch.tensor([1]))
    tensor([-300.], dtype=torch.float64)
    """
    z, own = logits.double(), labels[:, None]
    return z.scatter(1, own, -torch.inf).logsumexp(dim=1) - z.gather(1, own)[:, 0]


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The lead of the best other class over the label; above 0 the network is wrong."""
    z, own = logits.double(), labels[:, None]
    return z.scatter(1, own, -torch.inf).amax(dim=1) - z.gather(1, own)[:, 0]


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The difference of logits ratio towards a target class, (z_t - z_y) / spread.

    With four classes or more the spread is z_(1) - (z_(3) + z_(4))/2 in descending order. Three
    have no fourth, so it is z_(1) - z_(3); of two, nothing is left to divide by but the
    difference itself, so it is 1.

    Source: Croce and Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of
    Diverse Parameter-free Attacks", ICML 2020, equation 7; few classes are ours.
    """
    z = logits.double()
    lead = (z.gather(1, targets[:, None]) - z.gather(1, labels[:, None]))[:, 0]
    if z.shape[1] == 2:
        return lead
    top = z.topk(min(4, z.shape[1]), dim=1).values
    return lead / (top[:, 0] - top[:, 2:].mean(dim=1) + 1e-12)


def climb(
    network: nn.Module, images: Tensor, labels: Tensor, loss: Loss
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits [B, K], losses [B] and each image's own gradient [B, C, H, W].

    Where nothing can be differentiated, the gradient is zero.

    Raises:
        UserError: In inference mode every gradient would be.
    """
    if torch.is_inference_mode_enabled():
        raise UserError("attacks need gradients: call them outside torch.inference_mode()")
    with torch.enable_grad():
        inputs = images.detach().requires_grad_()
        logits = network(inputs)
        losses = loss(logits, labels)
        if losses.requires_grad:
            (gradient,) = torch.autograd.grad(losses.sum(), inputs)
        else:
            gradient = torch.zeros_like(images)
    return logits.detach(), losses.detach(), gradient


def towards(targets: Tensor | None) -> Loss:
    """The loss of an attack: towards a class for each image [B], or away from the label."""
    return log_odds if targets is None else partial(targeted_dlr, targets=targets)
