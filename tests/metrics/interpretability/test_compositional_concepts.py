"""Formulas of concepts against planted ones and a slow copy of the search."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from scratchcard.contracts import NotApplicable, UserError
from scratchcard.data.concepts.base import Concepts, pack
from scratchcard.metrics.interpretability.bits import Table, Trace, words
from scratchcard.metrics.interpretability.compositional_concepts import (
    best_formulas,
    compositional_concepts,
)
from scratchcard.metrics.interpretability.formulas import OPERATORS, Formula, Search
from scratchcard.metrics.interpretability.netdissect import netdissect
from scratchcard.metrics.interpretability.units import Units
from scratchcard.stats import resamples
from tests.metrics.interpretability.dissected import above, blobs, concepts, iou, noise, reader

PLANTED = ["b", "b AND d", "(a OR b) AND NOT c", "(d AND NOT a) AND NOT b"]


def masks(shape: tuple[int, ...] = (5, 40, 9, 15), share: float = 0.3) -> np.ndarray:
    return blobs(shape, share)


def holds(formula: Formula, named: np.ndarray) -> np.ndarray:
    """Where a formula holds, by booleans."""
    found = named[formula.first]
    for operator, concept in formula.steps:
        other = ~named[concept] if operator == "AND NOT" else named[concept]
        found = found | other if operator == "OR" else found & other
    return np.asarray(found)


def planted(text: str, named: np.ndarray) -> np.ndarray:
    """Where a formula that is written down holds."""
    code = text.replace("AND NOT", "& ~").replace("AND", "&").replace("OR", "|")
    return np.asarray(eval(code, {}, dict(zip("abcde", named, strict=False))))


def search(named: np.ndarray, length: int = 3, beam: int = 5) -> Search:
    return Search(Table(concepts(noise((named.shape[1], 1, 2, 2)), named)), length, beam)


def trace(mask: np.ndarray) -> Trace:
    return Trace.of(words(pack(mask)))


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_formula_is_found(text: str) -> None:
    named = masks()
    unit = planted(text, named)
    best = search(named).best(trace(unit))[-1]
    assert best.iou == 1
    np.testing.assert_array_equal(holds(best.formula, named), unit)
    assert len(best.formula) == 1 + text.count(" AND") + text.count(" OR")


@pytest.mark.parametrize("text", PLANTED)
def test_units_are_described_in_words(text: str) -> None:
    named = masks()
    unit = planted(text, named)
    own = concepts(unit[:, None], named)
    units = Units.of(reader(1), own, quantile=float(unit.mean()))
    (found,) = best_formulas(units, own)
    assert found.iou == 1
    np.testing.assert_array_equal(planted(found.text, named), unit)
    assert found.concept in "abcde"
    assert found.concept_iou == pytest.approx(max(iou(unit, one) for one in named))
    assert (found.concept_iou == 1) == (text == "b")


def by_definition(unit: np.ndarray, named: np.ndarray, length: int, beam: int) -> list[float]:
    """The best score of each length, where formulas are the same if their masks are."""
    leaders = [(iou(unit, one), one) for one in named]
    leaders.sort(key=lambda one: -one[0])
    leaders, best = leaders[:beam], [leaders[0][0]]
    for _ in range(length - 1):
        longer = list(leaders)
        for (_, one), other in product(leaders, named):
            longer += [(iou(unit, each), each) for each in (one & other, one | other, one & ~other)]
        longer.sort(key=lambda one: -one[0])
        leaders = []
        for score, one in longer:
            if not any(np.array_equal(one, known) for _, known in leaders):
                leaders.append((score, one))
            if len(leaders) == beam:
                break
        best.append(leaders[0][0])
    return best


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beam", [1, 5])
def test_it_is_the_beam_search_of_its_definition(seed: int, beam: int) -> None:
    named = masks((6, 20, 8, 8))
    unit = blobs((20, 8, 8), 0.1, seed=seed + 1)
    found = search(named, 4, beam).best(trace(unit))
    assert [one.iou for one in found] == by_definition(unit, named, 4, beam)
    for length, one in enumerate(found, 1):
        assert len(one.formula) <= length
        holding = holds(one.formula, named)
        assert one.iou == iou(unit, holding)
        assert (one.shared, one.area) == ((unit & holding).sum(), holding.sum())


def test_a_wide_beam_finds_what_trying_everything_does() -> None:
    named, unit = masks((5, 20, 8, 8)), blobs((20, 8, 8), 0.2, seed=9)
    every = [Formula(k) for k in range(5)]
    for _ in range(2):
        every += [f.then(op, k) for f in every for op in OPERATORS for k in range(5)]
    wanted = max(iou(unit, holds(one, named)) for one in every)
    assert search(named, beam=1000).best(trace(unit))[-1].iou == wanted


def test_a_search_remembers_nothing_of_units_before() -> None:
    named = masks((6, 20, 8, 8))
    one = search(named)
    for seed in range(5):
        unit = trace(blobs((20, 8, 8), 0.1, seed=seed + 1))
        assert one.best(unit) == search(named).best(unit)


def test_words_are_put_in_brackets_from_the_left() -> None:
    names, single = ["blue", "top", "car"], Formula(0)
    assert single.text(names) == "blue"
    assert single.then("OR", 2).text(names) == "blue OR car"
    long = single.then("AND", 1).then("AND NOT", 2).then("OR", 2)
    assert long.text(names) == "((blue AND top) AND NOT car) OR car"


def test_concepts_that_exclude_each_other_do_not_fill_the_beam() -> None:
    """Of a AND NOT c, which is a, five would keep a OR b from being found."""
    named = np.zeros((9, 40, 9, 15), bool)
    for k in range(9):
        named[k, 4 * k : 4 * k + 4] = True
    unit = named[0] | named[1] | named[2]
    assert search(named).best(trace(unit))[-1].iou == 1


def test_a_concept_under_two_names_does_not_fill_the_beam() -> None:
    named = masks()
    unit = planted("(a OR b) AND NOT c", named)
    twice = np.concatenate([np.repeat(named[:1], 5, axis=0), named[1:]])
    assert search(twice).best(trace(unit))[-1].iou == 1


def test_what_the_beam_misses_a_wider_one_finds() -> None:
    named = masks()
    unit = planted("(a AND b) OR c", named)
    assert search(named).best(trace(unit))[-1].iou < 1
    assert search(named, beam=1000).best(trace(unit))[-1].iou == 1


def mixed(n: int = 30) -> Concepts:
    named = masks((4, n, 8, 8), 0.1)
    maps = noise((n, 4, 8, 8), seed=2)
    maps[:, 0] += named[0] & ~named[1]
    maps[:, 1] += 0.5 * (named[2] | named[3])
    maps[:, 2] = 0
    return concepts(maps, named)


def test_the_value_is_the_mean_over_live_units_and_its_error_that_of_images() -> None:
    own = mixed()
    maps, named = own.images.pixels.numpy(), np.stack([own.mask(k) for k in range(4)])
    found = compositional_concepts(reader(4), {"s": own}, quantile=0.05)
    active = [above(maps[:, unit], 0.05) for unit in (0, 1, 3)]
    best = [search(named).best(trace(unit))[-1].formula for unit in active]
    holding = [holds(formula, named) for formula in best]

    def by_definition(rows: np.ndarray) -> float:
        pairs = zip(active, holding, strict=True)
        return float(np.mean([iou(one[rows], other[rows]) for one, other in pairs]))

    assert found.value == pytest.approx(by_definition(np.arange(30)), rel=1e-12)
    wanted = [by_definition(rows) for rows in resamples([30])]
    assert found.replicates is not None
    np.testing.assert_allclose(found.replicates, wanted, rtol=1e-12)
    assert found.stderr == pytest.approx(np.std(wanted, ddof=1))
    single = netdissect(reader(4), {"s": own}, quantile=0.05)
    assert found.parts["s, length 1"].value == pytest.approx(single.value)
    gain = found.parts["s, gain"].value
    assert gain == pytest.approx(found.value - single.value)
    assert gain > 0.02
    assert found.parts["s, permuted images"].value < found.value / 2
    assert found.parts["s, untrained"].value == found.value  # it has no weights before layer 0
    assert found.n == 30


def test_of_length_one_it_is_network_dissection() -> None:
    own = {"s": mixed(), "t": concepts(noise((9, 4, 5, 5)), blobs((2, 9, 15, 15), 0.2))}
    found = compositional_concepts(reader(4), own, length=1, quantile=0.05)
    assert found.value == pytest.approx(netdissect(reader(4), own, quantile=0.05).value)
    assert found.parts["t, gain"].value == 0
    assert found.n == 39


def test_the_order_of_images_changes_nothing() -> None:
    own = mixed()
    order = np.random.default_rng(0).permutation(30)
    named = np.stack([own.mask(k)[order] for k in range(4)])
    other = concepts(own.images.take(order).pixels.numpy(), named)
    values = [compositional_concepts(reader(4), {"s": each}).value for each in (own, other)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_formulas_find_something_in_noise() -> None:
    """Why there is a search with permuted images beside it."""
    own = concepts(noise((30, 8, 8, 8)), masks((8, 30, 8, 8), 0.05))
    found = compositional_concepts(reader(8), {"s": own}, quantile=0.05)
    assert found.parts["s, gain"].value > 0.2 * found.parts["s, length 1"].value
    assert found.parts["s, permuted images"].value == pytest.approx(found.value, rel=0.2)


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(NotApplicable, match="no set of concepts"):
        compositional_concepts(reader(4), {})
    for option, wrong in (("length", (0, 5)), ("beam", (3, 0))):
        with pytest.raises(UserError, match=option):
            compositional_concepts(reader(4), {"s": mixed()}, length=wrong[0], beam=wrong[1])
