"""A conformance suite for architectures: what training and metrics rely on."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from scratchcard import models
from scratchcard.contracts import Task, UserError
from scratchcard.registry import MODELS
from scratchcard.testing.data import example_splits


def check_model(model: str | Callable[..., nn.Module], task: Task) -> None:
    """Check that an architecture keeps its promises on ``task``.

    Args:
        model: Its registered name, or the function ``build(task) -> nn.Module``.
        task: Images and classes that it should fit.
    """
    target = MODELS.get(model).target if isinstance(model, str) else model
    network = models.initialise(target, task, {}, 0)
    images = example_splits(task).test.floats()
    _check_seeds(target, task, network)
    _check_gradients(network, images)
    _check_state(target, task, network)
    with torch.no_grad():
        logits = network(images)
        single = torch.cat([network(image[None]) for image in images])
    assert logits.shape == (len(images), task.classes), (
        f"logits have the shape {list(logits.shape)}, not {[len(images), task.classes]}"
    )
    assert torch.allclose(logits, single, rtol=1e-5, atol=1e-5), (
        "in evaluation mode the logits of an image depend on its batch"
    )
    _check_small(target)


def _check_seeds(target: Callable[..., nn.Module], task: Task, network: nn.Module) -> None:
    same = models.initialise(target, task, {}, 0).state_dict()
    other = models.initialise(target, task, {}, 1).state_dict()
    state = network.state_dict()
    assert all(torch.equal(state[name], same[name]) for name in state), (
        "the same seed gives other weights; draw them from torch's global generator"
    )
    assert any(not torch.equal(state[name], other[name]) for name in state), (
        "another seed gives the same weights"
    )


def _check_gradients(network: nn.Module, images: torch.Tensor) -> None:
    network.train()
    logits = network(images)
    loss = functional.cross_entropy(logits, torch.arange(len(images)) % logits.shape[1])
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient is not None, f"no gradient reaches {name}"
        assert bool(gradient.isfinite().all()), f"the gradient of {name} is not finite"
        assert bool(gradient.any()), f"the gradient of {name} is zero everywhere"


def _check_state(target: Callable[..., nn.Module], task: Task, network: nn.Module) -> None:
    """A deep copy, and another network after a strict load, both give the same logits."""
    images = example_splits(task).test.floats()
    loaded = models.initialise(target, task, {}, 1)
    loaded.load_state_dict(network.state_dict(), strict=True)
    clone = copy.deepcopy(network)
    with torch.no_grad():
        logits = network.eval()(images)
        assert torch.equal(logits, clone.eval()(images)), "a deep copy gives other logits"
        assert torch.equal(logits, loaded.eval()(images)), (
            "a strict load of the state dict does not restore the logits"
        )
        for parameter in clone.parameters():
            parameter.add_(1.0)
        assert torch.equal(logits, network(images)), "a deep copy shares its parameters"


def _check_small(target: Callable[..., nn.Module]) -> None:
    task = Task(1, 1, 1, 2)
    try:
        network = models.initialise(target, task, {}, 0).eval()
    except UserError:
        return
    shape = network(torch.zeros(2, 1, 1, 1)).shape
    assert shape == (2, 2), f"images of 1x1 are neither refused nor handled: logits {list(shape)}"
