"""PIEs against counts by hand, a plain loop, and populations that differ by chance only."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest

from scratchcard.contracts import NotApplicable
from scratchcard.metrics.fairness.pie import modal, pie
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS

Seeds = Mapping[int, Predictions]


def saying(predicted: list[int] | np.ndarray, labels: list[int] | np.ndarray) -> Predictions:
    return Predictions(4 * np.eye(4, dtype=np.float32)[np.asarray(predicted)], np.asarray(labels))


def population(
    seeds: int, n: int, accuracy: float, *, stream: int, hard: float = 0.0
) -> dict[int, Predictions]:
    """Networks that are right by chance: with 0.2 on the share ``hard`` of the images."""
    rng = np.random.default_rng(stream)
    labels = np.arange(n) % 4
    chance = np.where(np.arange(n) < hard * n, 0.2, accuracy)
    found = {}
    for seed in range(seeds):
        right = rng.random(n) < chance
        z = rng.normal(size=(n, 4)) + 6 * np.eye(4)[np.where(right, labels, (labels + 1) % 4)]
        found[seed] = Predictions(z.astype(np.float32), labels)
    return found


def plain_modal(networks: list[Predictions]) -> list[int]:
    found = []
    for i in range(len(networks[0])):
        votes = Counter(int(p.predicted[i]) for p in networks)
        most = max(votes.values())
        tied = sorted(k for k, v in votes.items() if v == most)
        sure = {k: np.mean([p.log_probabilities[i, k] for p in networks]) for k in tied}
        found.append(max(tied, key=lambda k: sure[k]))
    return found


def test_a_count_by_hand() -> None:
    labels = [0, 0, 1, 1, 2]
    says = [[0, 0, 1, 3, 2], [0, 1, 1, 3, 2], [1, 0, 1, 1, 2]]
    dense = {s: saying(p, labels) for s, p in enumerate(says)}  # modes 0 0 1 3 2
    says = [[0, 2, 1, 1, 3], [0, 2, 0, 1, 3], [0, 0, 1, 3, 3]]
    sparse = {s: saying(p, labels) for s, p in enumerate(says)}  # modes 0 2 1 1 3
    reading = pie(sparse, dense)
    assert reading.examples is not None
    assert reading.examples.tolist() == [0, 1, 0, 1, 1]
    assert (reading.value, reading.n) == (3 / 5, 5)
    parts = {label: part.value for label, part in reading.parts.items()}
    assert parts == pytest.approx(
        {
            "dense on PIEs": (2 + 1 + 3) / 9,
            "dense elsewhere": (2 + 3) / 6,
            "sparse on PIEs": (1 + 2 + 0) / 9,
            "sparse elsewhere": (3 + 2) / 6,
            "class 0": 1 / 2,
            "class 1": 1 / 2,
            "class 2": 1.0,
        }
    )
    assert [reading.parts[f"class {k}"].n for k in range(3)] == [2, 2, 1]
    assert reading.parts["dense on PIEs"].n == 3


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 7])
def test_the_mode_is_that_of_a_plain_loop(seeds: int) -> None:
    networks = list(population(seeds, 200, 0.5, stream=seeds, hard=0.3).values())
    assert modal(networks).tolist() == plain_modal(networks)
    assert modal(networks[::-1]).tolist() == modal(networks).tolist()


def test_ties_are_not_broken_by_the_number_of_the_class() -> None:
    # One vote each; the two networks together hold class 1 for likelier, then class 0.
    z = np.array([[[1, 0, 0], [3, 0, 0]], [[0, 3, 0], [0, 1, 0]]], np.float32)
    networks = [Predictions(own, np.array([0, 0])) for own in z]
    assert modal(networks).tolist() == [1, 0]
    assert modal(networks[::-1]).tolist() == [1, 0]


def test_a_class_without_a_vote_is_no_mode() -> None:
    # Class 2 has the largest mean log-probability, and no network says it.
    z = np.array([[[5, -5, 4.5]], [[-5, 5, 4.5]]], np.float32)
    assert modal([Predictions(own, np.array([0])) for own in z]).tolist() == [0]


def test_ties_of_sure_networks_are_still_told_apart() -> None:
    # Softmax gives 0 and 1 exactly, whose means are equal.
    z = np.array([[[2000, 0, 0]], [[0, 3000, 0]]], np.float32)
    networks = [Predictions(own, np.array([0])) for own in z]
    probabilities = np.mean([p.probabilities for p in networks], axis=0)
    assert probabilities[0, 0] == probabilities[0, 1] == 0.5
    assert modal(networks).tolist() == [1]


def test_what_holds_of_any_populations() -> None:
    dense, sparse = (population(5, 300, a, stream=s) for a, s in ((0.9, 0), (0.6, 1)))
    one, other = pie(sparse, dense), pie(dense, sparse)
    assert one.value == other.value > 0
    assert one.parts["dense on PIEs"].value == other.parts["sparse on PIEs"].value
    assert one.examples is not None
    share = one.examples.mean()
    for who, networks in (("dense", dense), ("sparse", sparse)):
        on, off = (one.parts[f"{who} {where}"] for where in ("on PIEs", "elsewhere"))
        whole = np.mean([p.correct.mean() for p in networks.values()])
        assert share * on.value + (1 - share) * off.value == pytest.approx(whole)
        assert on.n + off.n == 300
    assert one.value == pytest.approx(np.mean([one.parts[f"class {k}"].value for k in range(4)]))


def test_halves_are_a_plain_loop_over_a_circle() -> None:
    for count in (4, 5, 6):
        dense, sparse = (population(count, 60, 0.5, stream=s) for s in (2, 3))
        size = count // 2
        own, other = [], []
        for start in range(count):
            ring = [(start + step) % count for step in range(count)]
            one, two = ring[:size], ring[size : 2 * size]
            mode = np.array(plain_modal([dense[s] for s in two]))
            own.append(np.mean(mode != plain_modal([dense[s] for s in one])))
            other.append(np.mean(mode != plain_modal([sparse[s] for s in one])))
        parts = pie(sparse, dense).parts
        assert parts["dense against dense"].value == pytest.approx(np.mean(own))
        assert parts["sparse against dense"].value == pytest.approx(np.mean(other))


def test_without_pruning_the_two_halves_agree_and_with_it_they_do_not() -> None:
    same = [
        pie(population(6, 400, 0.8, stream=s, hard=0.3), population(6, 400, 0.8, stream=s + 99,
            hard=0.3)).parts
        for s in range(6)
    ]  # fmt: skip
    gaps = [p["sparse against dense"].value - p["dense against dense"].value for p in same]
    assert abs(np.mean(gaps)) < 0.02
    assert np.mean([p["dense against dense"].value for p in same]) > 0.05  # chance is not 0
    hurt = pie(population(6, 400, 0.8, stream=0, hard=0.3), population(6, 400, 0.8, stream=1)).parts
    assert hurt["sparse against dense"].value > hurt["dense against dense"].value + 0.1


def test_more_seeds_make_steadier_modes() -> None:
    dense, sparse = (population(24, 600, 0.7, stream=s, hard=0.2) for s in (4, 5))
    values = [
        pie({s: sparse[s] for s in range(k)}, {s: dense[s] for s in range(k)}).value
        for k in (2, 6, 24)
    ]
    assert all(few > many for few, many in pairwise(values))


def test_the_dense_networks_themselves_have_none() -> None:
    dense = population(3, 40, 0.7, stream=0)
    reading = pie(dense, dense)
    assert (reading.value, reading.stderr) == (0.0, 0.0)
    assert "dense on PIEs" not in reading.parts
    assert reading.parts["dense elsewhere"] == reading.parts["sparse elsewhere"]


def test_only_seeds_that_both_have_count() -> None:
    dense, sparse = (population(5, 40, a, stream=s) for a, s in ((0.9, 0), (0.6, 1)))
    few = {s: sparse[s] for s in (4, 1, 2)}
    wanted = pie(few, {s: dense[s] for s in (1, 2, 4)})
    assert pie(few, dense).value == wanted.value
    assert pie(few, dense).parts == wanted.parts
    assert "dense against dense" not in wanted.parts


@pytest.mark.parametrize(("seeds", "said"), [((), "none"), ((1,), "1")])
def test_one_seed_has_no_mode(seeds: tuple[int, ...], said: str) -> None:
    dense = population(2, 20, 0.7, stream=0)
    with pytest.raises(NotApplicable, match=f"two seeds or more .* there is {said}; name more"):
        pie({s: dense[s] for s in seeds}, dense)
    with pytest.raises(NotApplicable, match="there is none"):
        pie({7: dense[0], 8: dense[1]}, dense)


def test_odd_inputs() -> None:
    n = 6
    flat = {s: Predictions(np.zeros((n, 2), np.float32), np.arange(n) % 2) for s in range(4)}
    assert pie(flat, flat).value == 0
    sure = {
        s: Predictions(1e30 * p.logits.astype(np.float32), p.labels)
        for s, p in population(4, 40, 0.6, stream=0).items()
    }
    reading = pie(sure, population(4, 40, 0.6, stream=1))
    numbers = [(part.value, part.stderr) for part in reading.parts.values()]
    assert np.isfinite(numbers).all()
    one = {s: saying([0], [0]) for s in range(2)}
    with pytest.raises(ValueError, match="at least 2 examples"):
        pie(one, one)


def test_other_images_are_refused() -> None:
    dense = population(2, 20, 0.7, stream=0)
    strange = Predictions(dense[1].logits, (dense[1].labels + 1) % 4)
    for sparse, twins in (({0: dense[0], 1: strange}, dense), (dense, {0: dense[0], 1: strange})):
        with pytest.raises(ValueError, match="same images"):
            pie(sparse, twins)


def test_it_is_a_metric_of_a_group() -> None:
    spec = METRICS.get("pie")
    assert (spec.scope, spec.dimension, spec.better) == ("group", "fairness", "lower")
    assert not spec.headline
