"""Conformance suites for data sets, models and methods, ours and yours: run them in your tests.

Each raises ``AssertionError`` with a sentence that says what is wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from scratchcard import models
from scratchcard.contracts import Context, Method, MethodSpec, Step, Task, UserError
from scratchcard.data import Dataset, Images, OutOfDistribution, Splits, fingerprint
from scratchcard.masks import Masks
from scratchcard.registry import METHODS, MODELS
from scratchcard.seeds import torch_stream


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


def check_method(name: str, **options: Any) -> None:
    """Check that a pruning method keeps the promises of ``scratchcard.contracts.Method``.

    In all its rounds, at several sparsities, it must keep exactly the right number of weights,
    revive none, repeat itself for the same seed, work for another, and leave the network it
    scores and torch's random numbers as they were.

    Args:
        name: Its registered name.
        **options: Its own.
    """
    spec = METHODS.get(name)
    method = spec.target(**options)
    # A dataclass without a docstring is given its signature.
    own = spec.summary and not spec.doc.startswith(f"{type(method).__name__}(")
    assert own, f"{name}: it has no docstring"
    for step in (method.scored_at, method.starts_from):
        Step.parse(step)
    network = _scored()
    for kinds in (("conv", "linear"), ("conv",)):
        for target in (0.0, 0.2, 0.5904, 0.95):
            rounds = method.rounds(target)
            assert rounds[-1] == target, f"{name}: the rounds for {target} end at {rounds[-1]}"
            assert list(rounds) == sorted(set(rounds)), f"{name}: its rounds do not rise: {rounds}"
            masks = Masks.ones(network, kinds)
            for sparsity in (*rounds, (1 + target) / 2):
                masks = _check_round(spec, method, network, masks, sparsity)


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


def _scored() -> nn.Module:
    """A network with BatchNorm and biases, in mixed modes, with gradients left from elsewhere."""

    def build(task: Task) -> nn.Module:
        body = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(5 * 4 * 4, task.classes))

    network = models.initialise(build, Task(1, 8, 8, 3), {}, 0)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(network.children()).eval()
    return network


def _check_round(
    spec: MethodSpec, method: Method, network: nn.Module, masks: Masks, sparsity: float
) -> Masks:
    where = f"{spec.name} at sparsity {sparsity:g}"
    chosen, again, other = (
        _choose(spec, method, network, masks, sparsity, seed) for seed in (0, 0, 1)
    )
    for found in (chosen, other):
        assert found.shapes() == masks.shapes(), (
            f"{where}: its masks are not those of the prunable weights"
        )
        assert found.kept == masks.count_at(sparsity), (
            f"{where}: it keeps {found.kept} of {found.total} weights, "
            f"not {masks.count_at(sparsity)}"
        )
        revived = sum(int((found[layer] & ~masks[layer]).sum()) for layer in masks)
        assert revived == 0, f"{where}: it revives {revived} weights that were cut before"
    assert chosen == again, f"{where}: the same seed gives other masks"
    return chosen


def _choose(
    spec: MethodSpec,
    method: Method,
    network: nn.Module,
    masks: Masks,
    sparsity: float,
    seed: int,
) -> Masks:
    """The masks, having checked that scoring changes nothing."""
    model = copy.deepcopy(network)
    masks.apply_(model)
    data = _splits(Task(1, 8, 8, 3)).train
    images, labels = (data.floats(), data.labels) if spec.needs_data else (None, None)
    stream = torch_stream(seed, "check_method", "prune")
    before = _state(model)
    chosen = method.start(Context(model, masks, sparsity, stream, images, labels))
    assert isinstance(chosen, Masks), f"{spec.name}: start() gives {type(chosen)}, not Masks"
    for (what, old), new in zip(before.items(), _state(model).values(), strict=True):
        assert old == new, f"{spec.name}: scoring changes {what}"
    return chosen


def _state(model: nn.Module) -> dict[str, Any]:
    """What scoring must not change, as lists that can be compared."""
    gradients = {n: p.grad for n, p in model.named_parameters()}
    return {
        "parameters or buffers": {n: v.tolist() for n, v in model.state_dict().items()},
        "gradients": {n: None if g is None else g.tolist() for n, g in gradients.items()},
        "what needs gradients": [p.requires_grad for p in model.parameters()],
        "the mode": [module.training for module in model.modules()],
        "torch's random numbers": torch.get_rng_state().tolist(),
    }


def _splits(task: Task) -> Splits:
    """Eight random images in every role."""
    shape = (8, task.channels, task.height, task.width)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.arange(8) % task.classes)
    return Splits(images, images, images, images, tuple(str(k) for k in range(task.classes)))


def _same(first: Images, second: Images) -> bool:
    return torch.equal(first.pixels, second.pixels) and torch.equal(first.labels, second.labels)
