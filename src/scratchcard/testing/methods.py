"""A conformance suite for pruning methods: exact counts, nothing revived, nothing changed."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import Context, Method, MethodSpec, Step, Task
from scratchcard.masks import Masks
from scratchcard.registry import METHODS
from scratchcard.seeds import torch_stream
from scratchcard.testing.data import example_splits


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


def _scored() -> nn.Module:
    """A network with BatchNorm and biases, with gradients left from elsewhere.

    It is in evaluation mode, as in a study, but for one layer that a careless method would miss.
    """

    def build(task: Task) -> nn.Module:
        body = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU())
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(5 * 4 * 4, task.classes))

    network = models.initialise(build, Task(1, 8, 8, 3), {}, 0)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    network.eval()
    next(network.children()).train()
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
    data = example_splits(Task(1, 8, 8, 3)).train
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
