"""A hand-written training loop that asks a method for masks, and what it saw, for the tests.

It is written apart from the library's own loop, so that each can be trusted a little more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from scratchcard.contracts import Context, Method, Moment
from scratchcard.masks import Masks
from scratchcard.seeds import torch_stream


@dataclass(frozen=True)
class Asked:
    """An update: what the method saw, and what it answered."""

    step: int
    before: Masks
    after: Masks
    weights: dict[str, torch.Tensor]
    gradients: dict[str, torch.Tensor]

    @property
    def grown(self) -> int:
        """How many weights are new."""
        return sum(int((self.after[n] & ~self.before[n]).sum()) for n in self.before)


def network(seed: int = 0) -> nn.Module:
    """Layers of 54, 432 and 320 weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = (nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU())
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(32, 10))


def started(method: Method, model: nn.Module, sparsity: float, seed: int = 0) -> Masks:
    """The masks that training starts with."""
    stream = torch_stream(seed, "start")
    masks = method.start(Context(model, Masks.ones(model), sparsity, stream))
    assert isinstance(masks, Masks)
    return masks


def backward(model: nn.Module, seed: int) -> None:
    """Dense gradients of the loss on a batch of noise."""
    stream = torch.Generator().manual_seed(seed)
    images = torch.rand(20, 1, 6, 6, generator=stream)
    labels = torch.randint(10, (20,), generator=stream)
    model.zero_grad()
    torch.autograd.backward(nn.functional.cross_entropy(model(images), labels))


@cache
def trained(
    method: Method, *, total: int = 240, per_epoch: int = 20, sparsity: float = 0.8, seed: int = 0
) -> tuple[Asked, ...]:
    """Every update of a training with momentum, the cut weights held at zero."""
    return tuple(_train(method, total, per_epoch, sparsity, seed))


def _train(
    method: Method, total: int, per_epoch: int, sparsity: float, seed: int
) -> Iterator[Asked]:
    model = network(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    masks = started(method, model, sparsity, seed)
    _hold(model, optimizer, masks)
    for step in range(total):
        backward(model, step)
        context = Context(model, masks, sparsity, torch_stream(seed, "update", step))
        answer = method.update(context, Moment(step, per_epoch, total))
        if answer is not None:
            parameters = {name: model.get_parameter(name) for name in masks}
            weights = {n: p.detach().clone() for n, p in parameters.items()}
            gradients = {n: p.grad.clone() for n, p in parameters.items() if p.grad is not None}
            yield Asked(step, masks, answer, weights, gradients)
            _hold(model, optimizer, Masks({n: masks[n] & answer[n] for n in masks}))
            masks = answer
        if answer is None or not method.replaces_step:
            optimizer.step()
            _hold(model, optimizer, masks)


@torch.no_grad()
def _hold(model: nn.Module, optimizer: torch.optim.Optimizer, masks: Masks) -> None:
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        parameter[~mask] = 0
        if (momentum := optimizer.state[parameter].get("momentum_buffer")) is not None:
            momentum[~mask] = 0
