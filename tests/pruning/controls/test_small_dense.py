"""Small dense: the nearest reachable count by brute force, against formulas written by hand."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from scratchcard import models
from scratchcard.contracts import Architecture, Context, Narrower, Task, UserError
from scratchcard.masks import Masks
from scratchcard.prunable import prunable
from scratchcard.pruning.controls.small_dense import SmallDense, nearest
from scratchcard.pruning.prune import prune
from scratchcard.registry import METHODS, MODELS

DIGITS, CIFAR = Task(1, 8, 8, 10), Task(3, 32, 32, 10)
BOTH = ("conv", "linear")


def architecture(kind: str, task: Task, **options: Any) -> Architecture:
    """With every option, as a study has it."""
    defaults = {name: default for name, (_, default) in MODELS.get(kind).parameters.items()}
    return Architecture(kind, task, {**defaults, **options})


def small(
    own: Architecture, sparsity: float, kinds: Sequence[str] = BOTH, seed: int = 0
) -> Narrower:
    model = models.build(own.kind, own.task, own.options, 0)
    stream = torch.Generator().manual_seed(seed)
    masks = Masks.ones(model, kinds)
    return SmallDense().start(Context(model, masks, sparsity, stream, architecture=own))


def weights(own: Architecture, options: Mapping[str, Any], kinds: Sequence[str] = BOTH) -> int:
    model = models.build(own.kind, own.task, options, 0)
    return sum(weight.numel() for weight in prunable(model, kinds).values())


# Counts by hand, from widths


def mlp(widths: Sequence[int], kinds: Sequence[str]) -> int:
    first, second = widths
    return 64 * first + first * second + second * 10


def lenet(widths: Sequence[int], kinds: Sequence[str]) -> int:
    conv1, conv2, fc1, fc2 = widths
    convolutions = 25 * conv1 + 25 * conv1 * conv2
    linears = conv2 * 4 * fc1 + fc1 * fc2 + fc2 * 10
    return ("conv" in kinds) * convolutions + ("linear" in kinds) * linears


def resnet20(widths: Sequence[int], kinds: Sequence[str]) -> int:
    a, b, c = widths
    stem, stages = 27 * a, 54 * a * a + 9 * (a * b + 5 * b * b) + 9 * (b * c + 5 * c * c)
    return stem + stages + ("linear" in kinds) * 10 * c


def resnet20b(widths: Sequence[int], kinds: Sequence[str]) -> int:
    a, b, c = widths
    return resnet20(widths, kinds) + a * b + b * c


CASES = [
    (architecture("mlp", DIGITS), (300, 100), mlp, BOTH),
    (architecture("mlp", DIGITS, hidden=(17, 29)), (17, 29), mlp, BOTH),
    (architecture("lenet", DIGITS), (6, 16, 120, 84), lenet, BOTH),
    (architecture("lenet", DIGITS), (6, 16, 120, 84), lenet, ("conv",)),
    (architecture("cifar-resnet", CIFAR), (16, 32, 64), resnet20, BOTH),
    (architecture("cifar-resnet", CIFAR), (16, 32, 64), resnet20, ("conv",)),
    (architecture("cifar-resnet", CIFAR, shortcut="B"), (16, 32, 64), resnet20b, BOTH),
    (architecture("cifar-resnet", CIFAR, widths=(13, 19, 25)), (13, 19, 25), resnet20, BOTH),
]
SPARSITIES = (0.2, 0.7903, 0.9953)


def reachable(widths: Sequence[int]) -> set[tuple[int, ...]]:
    """Widths of every factor in (0, 1]: where one of them rounds over, and beside that."""
    edges = {(number + 0.5) / width for width in widths for number in range(width)}
    factors = {math.nextafter(edge, to) for edge in edges for to in (0, 1)} | edges | {1e-9, 1.0}
    return {tuple(max(1, round(factor * w)) for w in widths) for factor in factors if factor <= 1}


@pytest.mark.parametrize(("own", "widths", "count", "kinds"), CASES)
def test_no_factor_comes_nearer(
    own: Architecture,
    widths: tuple[int, ...],
    count: Callable[[Sequence[int], Sequence[str]], int],
    kinds: Sequence[str],
) -> None:
    total = count(widths, kinds)
    sizes = {count(each, kinds) for each in reachable(widths)}
    for sparsity in SPARSITIES:
        wanted = total - round(sparsity * total)
        found = small(own, sparsity, kinds)
        assert found.total == total
        # Of two equally near, the smaller.
        assert found.left == min(sorted(sizes), key=lambda size: abs(size - wanted))
        assert found.left == weights(own, found.options, kinds)


def test_the_square_root_of_the_density_is_not_enough() -> None:
    """The usual shortcut misses the nearest count, most of all where a layer is linear in it."""
    widths, total = (300, 100), mlp((300, 100), BOTH)
    worse = 0
    for sparsity in (0.2, 0.36, 0.488, 0.5904, 0.7903, 0.9, 0.95):
        wanted = total - round(sparsity * total)
        rooted = tuple(max(1, round(width * math.sqrt(1 - sparsity))) for width in widths)
        found = small(architecture("mlp", DIGITS), sparsity).left
        assert abs(found - wanted) <= abs(mlp(rooted, BOTH) - wanted)
        worse += abs(mlp(rooted, BOTH) - wanted) > 2 * abs(found - wanted)
    assert worse >= 4


def test_a_width_that_only_one_factor_reaches_is_found() -> None:
    """Half of (13, 19) rounds to (6, 10), evens both; just below it is (6, 9), above (7, 10)."""
    assert {(6, 9), (6, 10), (7, 10)} < {each[:2] for each in reachable((13, 19))}
    own = architecture("mlp", DIGITS, hidden=(13, 19))
    wanted = mlp((6, 10), BOTH)
    total = mlp((13, 19), BOTH)
    found = small(own, 1 - wanted / total)
    assert (found.left, found.options["hidden"]) == (wanted, (6, 10))


def test_nothing_to_cut_is_the_network_itself() -> None:
    found = small(architecture("cifar-resnet", CIFAR), 0.0)
    assert found.left == found.total
    assert found.options["widths"] == (16, 32, 64)


def test_no_width_falls_below_one() -> None:
    assert small(architecture("mlp", DIGITS), 0.9999).options["hidden"] == (1, 1)
    assert small(architecture("lenet", DIGITS), 0.9999).left == 25 + 25 + 4 + 1 + 10


def test_of_two_equally_near_the_smaller() -> None:
    sizes = [nearest(lambda factor: 10 * round(factor * 9), wanted) for wanted in (44, 45, 46)]
    assert [10 * round(factor * 9) for factor in sizes] == [40, 40, 50]


def test_other_options_are_kept_and_factors_are_short() -> None:
    own = architecture("lenet", DIGITS, mean=(0.25,))
    found = small(own, 0.9)
    assert {**found.options, "width": 1.0} == own.options
    assert len(str(found.options["width"])) <= 6


@pytest.mark.parametrize("kind", ["vgg", "resnet", "wide-resnet", "vit"])
def test_the_larger_architectures(kind: str) -> None:
    """Within the step from one width to the next, on the count of the network that is built."""
    own = architecture(kind, CIFAR)
    with torch.device("meta"):
        model = MODELS.get(kind).target(CIFAR, **own.options)
    masks = Masks.ones(model)
    found = SmallDense().start(Context(model, masks, 0.9, torch.Generator(), architecture=own))
    wanted = masks.count_at(0.9)
    assert found.left == weights(own, found.options)
    assert abs(found.left / wanted - 1) < 0.02
    assert found.total == masks.total


@pytest.mark.parametrize(
    ("kind", "dense", "widths", "ratio"),
    [
        ("cifar-resnet", {}, (13, 17, 25), 0.2108),
        ("resnet", {}, (32, 77, 132, 215), 0.2096),
        ("wide-resnet", {}, (120, 170, 260), 0.2099),
        ("resnet", {"depth": 50, "stem": "imagenet"}, (47, 96, 196, 348), 0.5119),
    ],
)
def test_the_papers_widths_are_options(
    kind: str, dense: Mapping[str, Any], widths: tuple[int, ...], ratio: float
) -> None:
    """The shares of convolution weights in the official code's names."""
    sizes = []
    for options in ({**dense, "widths": widths}, dense):
        with torch.device("meta"):
            model = MODELS.get(kind).target(CIFAR, **options)
        sizes.append(sum(weight.numel() for weight in prunable(model, ["conv"]).values()))
    assert round(sizes[0] / sizes[1], 4) == ratio
    assert f"widths = {list(widths)}" in METHODS.get("small-dense").doc


def test_nothing_is_drawn_and_nothing_is_changed() -> None:
    own = architecture("lenet", DIGITS)
    model = models.build(own.kind, own.task, own.options, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, stream = torch.get_rng_state(), torch.Generator().manual_seed(3)
    drawn = stream.get_state()
    SmallDense().start(Context(model, Masks.ones(model), 0.9, stream, architecture=own))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(stream.get_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert small(own, 0.9, seed=0) == small(own, 0.9, seed=1)


def test_a_model_that_cannot_be_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    own = architecture("mlp", DIGITS)
    MODELS.names()
    fixed = replace(MODELS.get("mlp"), narrower=None)
    monkeypatch.setattr(MODELS, "_specs", {**MODELS._specs, "mlp": fixed})
    with pytest.raises(UserError, match=r'model "mlp" narrower \(it can: cifar-resnet, lenet, '):
        small(own, 0.5)


def test_a_model_of_nobody_is_refused() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(UserError, match="this model is not built from the registry"):
        SmallDense().start(Context(model, Masks.ones(model), 0.5, torch.Generator()))
    with pytest.raises(UserError, match="small-dense"):
        prune(model, "small-dense", sparsity=0.5)


def test_it_gives_a_network_and_no_masks() -> None:
    assert SmallDense().gives == "narrower"
    assert SmallDense().starts_from == "0ep"
