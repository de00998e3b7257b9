"""What each layer gets by its shape, against public numbers and by bisection."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.allocation import Allocation, counts, densities

Shapes = dict[str, tuple[int, ...]]


def resnet20() -> Shapes:
    """ResNet-20 for CIFAR-10 with 1x1 convolutions as shortcuts."""
    shapes: Shapes = {"stem": (16, 3, 3, 3)}
    for wide, narrow in ((16, 16), (32, 16), (64, 32)):
        for block in range(3):
            shapes[f"{wide}.{block}.1"] = (wide, narrow if block == 0 else wide, 3, 3)
            shapes[f"{wide}.{block}.2"] = (wide, wide, 3, 3)
        if wide != narrow:
            shapes[f"{wide}.shortcut"] = (wide, narrow, 1, 1)
    return shapes | {"fc": (10, 64)}


def resnet18() -> Shapes:
    """ResNet-18 for CIFAR-10, with a stem of 3x3."""
    shapes: Shapes = {"stem": (64, 3, 3, 3)}
    for wide, narrow in ((64, 64), (128, 64), (256, 128), (512, 256)):
        for block in range(2):
            shapes[f"{wide}.{block}.1"] = (wide, narrow if block == 0 else wide, 3, 3)
            shapes[f"{wide}.{block}.2"] = (wide, wide, 3, 3)
        if wide != narrow:
            shapes[f"{wide}.shortcut"] = (wide, narrow, 1, 1)
    return shapes | {"fc": (10, 512)}


def ones(shapes: Shapes) -> Masks:
    return Masks({name: torch.ones(shape, dtype=torch.bool) for name, shape in shapes.items()})


GOLDEN = {
    ("resnet20", 0.90): "stem .9834 16 .2803 16-32 .1991 32 .1291 32-64 .0940 64 .0618 "
    "32.shortcut 1 64.shortcut .8132 fc 1",
    ("resnet20", 0.95): "stem .4752 16 .1354 16-32 .0962 32 .0624 32-64 .0454 64 .0298 "
    "32.shortcut .8019 64.shortcut .3929 fc .9494",
    ("resnet18", 0.90): "stem 1 64 .4797 64-128 .3544 128 .2345 128-256 .1745 256 .1159 "
    "256-512 .0866 512 .0576 128.shortcut 1 256.shortcut 1 512.shortcut .7752 fc 1",
    ("resnet18", 0.98): "64 .0907 128 .0443 256 .0219 512 .0109 128.shortcut .5907 "
    "256.shortcut .2938 512.shortcut .1465",
}
"""ERK densities by the algorithm of RigL's code; "16-32" is the convolution from 16 to 32 channels.

Its budget is that of uniform zeros rounded down layer by layer, hence up to a weight a layer more.
"""

TOTALS = {"resnet20": 270_896, "resnet18": 11_164_352}


@pytest.mark.parametrize(("network", "sparsity"), GOLDEN)
def test_erk_densities_are_those_of_others(network: str, sparsity: float) -> None:
    shapes = {"resnet20": resnet20, "resnet18": resnet18}[network]()
    assert sum(math.prod(shape) for shape in shapes.values()) == TOTALS[network]
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    budget = sum(size - math.floor(sparsity * size) for size in sizes.values())
    theirs = densities(shapes, 1 - budget / TOTALS[network], "erk")
    words = GOLDEN[network, sparsity].split()
    for name, density in zip(words[::2], words[1::2], strict=True):
        narrow, _, wide = name.partition("-")
        layer = f"{wide}.0.1" if wide else f"{narrow}.1.1" if narrow.isdigit() else narrow
        assert theirs[layer] == pytest.approx(float(density), abs=5.1e-5), name
    ours = densities(shapes, sparsity, "erk")
    kept = counts(ones(shapes), sparsity, "erk")
    assert sum(kept.values()) == ones(shapes).count_at(sparsity) < budget
    assert all(abs(kept[name] - ours[name] * sizes[name]) < 1 for name in shapes)
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-3)


def by_bisection(ratios: dict[str, float], shapes: Shapes, kept: int) -> dict[str, float]:
    """The eps for which densities min(1, eps ratio) keep ``kept`` weights."""
    low, high = 0.0, 1e9
    for _ in range(200):
        eps = (low + high) / 2
        sum_ = sum(min(1, eps * ratios[n]) * math.prod(shape) for n, shape in shapes.items())
        low, high = (eps, high) if sum_ < kept else (low, eps)
    return {name: min(1, low * ratio) for name, ratio in ratios.items()}


shapes_of_layers = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 30), st.integers(1, 30)),
        st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 5), st.integers(1, 5)),
    ),
    min_size=1,
    max_size=6,
).map(lambda shapes: {f"l{i}": shape for i, shape in enumerate(shapes)})


@given(shapes_of_layers, st.floats(0, 0.999))
def test_er_and_erk_are_their_definitions(shapes: Shapes, sparsity: float) -> None:
    kept = ones(shapes).count_at(sparsity)
    er = {n: (s[0] + s[1]) / (s[0] * s[1]) for n, s in shapes.items()}
    erk = {n: sum(s) / math.prod(s) for n, s in shapes.items()}
    found = densities(shapes, sparsity, "er"), densities(shapes, sparsity, "erk")
    assert found[0] == pytest.approx(by_bisection(er, shapes, kept), abs=1e-9)
    assert found[1] == pytest.approx(by_bisection(erk, shapes, kept), abs=1e-9)


def test_er_and_erk_differ_by_the_kernel() -> None:
    """Of a 3x3 convolution 8 -> 8 and a linear layer 8 -> 8, 64 weights: 16 x 9 : 16, 22 : 16."""
    shapes: Shapes = {"conv": (8, 8, 3, 3), "fc": (8, 8)}
    kept = {"er": counts(ones(shapes), 0.9, "er"), "erk": counts(ones(shapes), 0.9, "erk")}
    assert kept == {"er": {"conv": 58, "fc": 6}, "erk": {"conv": 37, "fc": 27}}


@given(shapes_of_layers, st.floats(0, 1), st.integers(0, 2**32))
def test_counts_are_exact_whatever_was_cut(shapes: Shapes, sparsity: float, seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    masks = Masks({n: torch.rand(s, generator=stream) < 0.7 for n, s in shapes.items()})
    sparsity = max(sparsity, masks.sparsity)
    if masks.count_at(sparsity) > masks.kept:
        return
    allocations: tuple[Allocation, ...] = ("uniform", "er", "erk")
    for allocation in allocations:
        kept = counts(masks, sparsity, allocation)
        assert list(kept) == list(shapes)
        assert sum(kept.values()) == masks.count_at(sparsity)
        assert all(0 <= kept[name] <= alive for name, alive in masks.layers().items())


def test_a_share_far_below_one_weight_is_none() -> None:
    """No layer is topped up: of 10 weights, l0 is due 10 x 2 / 202, which is none."""
    shapes: Shapes = {"l0": (1, 1), "l1": (100, 100)}
    assert counts(ones(shapes), 1 - 10 / 10_001, "erk") == {"l0": 0, "l1": 10}


@pytest.mark.parametrize("allocation", ["global", "lamp"])
def test_some_densities_are_up_to_the_scores(allocation: Allocation) -> None:
    with pytest.raises(UserError, match=f'"{allocation}" leaves the densities of layers to the'):
        densities(resnet20(), 0.5, allocation)
    with pytest.raises(UserError, match="take one of uniform, uniform\\+, er, erk"):
        counts(ones(resnet20()), 0.5, allocation)


def test_uniform_plus_of_resnet20() -> None:
    """At 90 %: 432 + 128 of the ends, and 26,530 of the other 269,824 at 9.83 % each."""
    found = densities(resnet20(), 0.9, "uniform+")
    assert found.pop("stem") == 1.0
    assert found.pop("fc") == 0.2
    assert list(found.values()) == pytest.approx([26_530 / 269_824] * len(found))
    assert sum(counts(ones(resnet20()), 0.9, "uniform+").values()) == 27_090


def test_uniform_plus_leaves_the_last_layer_alone_where_it_keeps_enough() -> None:
    """At 50 % every layer but the first is at (135,448 - 432) / 270,464."""
    found = densities(resnet20(), 0.5, "uniform+")
    assert found.pop("stem") == 1.0
    assert list(found.values()) == pytest.approx([135_016 / 270_464] * len(found))


def test_the_last_layer_is_at_most_four_fifths_sparse() -> None:
    """63 weights: a fifth is 12.6, and 12 would be too few."""
    shapes: Shapes = {"conv": (2, 2, 3, 3), "mid": (50, 50), "fc": (9, 7)}
    assert counts(ones(shapes), 0.95, "uniform+")["fc"] == 13


def test_uniform_plus_without_convolutions_or_linear_layers() -> None:
    linear: Shapes = {"l0": (300, 784), "l1": (100, 300), "l2": (10, 100)}
    found = densities(linear, 0.95, "uniform+")
    assert found["l2"] == 0.2
    assert found["l0"] == pytest.approx(found["l1"])
    assert found["l0"] == pytest.approx((13_310 - 200) / 265_200)
    convolutions: Shapes = {"c0": (16, 3, 3, 3), "c1": (16, 16, 3, 3), "c2": (32, 16, 3, 3)}
    assert counts(ones(convolutions), 0.9, "uniform+") == {"c0": 432, "c1": 101, "c2": 201}


def test_uniform_plus_below_its_least_is_refused() -> None:
    """ResNet-20 has 432 + 128 weights to keep."""
    assert counts(ones(resnet20()), 1 - 560 / 270_896, "uniform+")["16.0.1"] == 0
    said = r"must keep 560 weights here .* but only 559 are to be kept; lower the sparsity"
    with pytest.raises(UserError, match=said):
        counts(ones(resnet20()), 1 - 559 / 270_896, "uniform+")
    with pytest.raises(UserError, match="must keep 432 weights"):
        densities({"c0": (16, 3, 3, 3), "c1": (64, 16, 3, 3)}, 0.96, "uniform+")


def test_uniform_plus_on_what_is_left() -> None:
    """The first layer keeps all it has; the last cannot keep a fifth any more."""
    masks = ones({"conv": (4, 3, 3, 3), "mid": (40, 40), "fc": (10, 40)})
    masks["conv"].view(-1)[50:] = False
    masks["fc"].view(-1)[10:] = False
    kept = counts(masks, 1 - 200 / masks.total, "uniform+")
    assert kept == {"conv": 50, "mid": 140, "fc": 10}
