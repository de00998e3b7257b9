"""Conformance suites for data sets and models, ours and everybody's: run them in your own tests.

Each raises ``AssertionError`` with a sentence that says what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from scratchcard import models
from scratchcard.contracts import Task, UserError
from scratchcard.data import Dataset, Images, OutOfDistribution, Splits, fingerprint
from scratchcard.registry import MODELS


def check_dataset(dataset: Dataset) -> None:
    """Check that a data set keeps the promises of ``scratchcard.data.Dataset``.

    One that can only serve as an out-of-distribution set is checked as such.
    """
    assert fingerprint(dataset.files()) == fingerprint(dataset.files()), "its fingerprint changes"
    if isinstance(dataset, OutOfDistribution):
        _check_ood(dataset, Task(3, 8, 8, 2), _splits(Task(3, 8, 8, 2)))
        return
    task, splits = dataset.task(), dataset.splits()
    named = {"train": splits.train, "test": splits.test, "val": splits.val}
    parts = {name: images for name, images in named.items() if images is not None}
    assert len(splits.classes) == task.classes, (
        f"task() says {task.classes} classes, splits() has {len(splits.classes)}"
    )
    again = dataset.splits()
    for name, images in parts.items():
        assert len(images), f"{name} is empty"
        assert images.task_shape == (task.channels, task.height, task.width), (
            f"{name} has images of shape {images.task_shape}, but task() says {task}"
        )
        low, high = int(images.labels.min()), int(images.labels.max())
        assert -1 < low <= high < task.classes, (
            f"{name} has labels from {low} to {high} for {task.classes} classes"
        )
        assert _same(images, getattr(again, name)), f"{name} differs between two calls of splits()"
    _check_disjoint(parts)
    _check_ood(dataset, task, splits)
    other = 3 if task.channels == 1 else 1
    _check_ood(dataset, Task(other, task.height + 1, task.width + 2, 2), splits)


def check_model(model: str | Callable[..., nn.Module], task: Task) -> None:
    """Check that an architecture keeps its promises on ``task``.

    Args:
        model: Its registered name, or the function ``build(task) -> nn.Module``.
        task: Images and classes that it should fit.
    """
    target = MODELS.get(model).target if isinstance(model, str) else model
    network = models.initialise(target, task, {}, 0)
    images = _splits(task).test.floats()
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


def _check_ood(dataset: Dataset, task: Task, source: Splits) -> None:
    images = dataset.as_ood(task, source)
    assert len(images), "as_ood() gives no image"
    assert images.task_shape == (task.channels, task.height, task.width), (
        f"as_ood() gives images of shape {images.task_shape} for {task}"
    )
    assert _same(images, dataset.as_ood(task, source)), "as_ood() differs between two calls"


def _check_disjoint(parts: dict[str, Images]) -> None:
    """Real sets hold a few exact duplicates; more than 5 % is a split gone wrong."""
    rows = {
        name: [image.numpy().tobytes() for image in part.pixels] for name, part in parts.items()
    }
    names = list(rows)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            seen = set(rows[first])
            shared = sum(row in seen for row in rows[second]) / len(rows[second])
            assert shared <= 0.05, f"{shared:.0%} of the images of {second} are in {first} too"


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
    images = _splits(task).test.floats()
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


def _splits(task: Task) -> Splits:
    """Eight random images in every role."""
    shape = (8, task.channels, task.height, task.width)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(8) % task.classes)
    return Splits(images, images, images, images, tuple(str(k) for k in range(task.classes)))


def _same(first: Images, second: Images) -> bool:
    return torch.equal(first.pixels, second.pixels) and torch.equal(first.labels, second.labels)
