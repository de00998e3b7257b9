"""N:M patterns against choosing group by group in plain Python."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.masks import Masks
from scratchcard.pruning.pattern import Pattern

SHAPES = [(4, 8), (3, 10), (5, 3), (7,), (4, 8, 3, 3), (2, 7, 3), (6, 1, 3, 3), (2, 5, 1, 2, 3)]
"""Linear, embedding, bias-like, convolutions of one to three dimensions, depthwise."""

TEXTS = ["2:4", "1:2", "1:4", "3:4", "4:8", "1:16"]


def dense(*shapes: tuple[int, ...]) -> Masks:
    return Masks({f"l{i}": torch.ones(s, dtype=torch.bool) for i, s in enumerate(shapes)})


def groups(shape: tuple[int, ...], m: int) -> Iterator[list[tuple[int, ...]]]:
    """Positions of each group, one by one: ``m`` neighbours along the inputs."""
    axis = 1 if len(shape) > 1 else 0
    outer = [range(size) if i != axis else range(1) for i, size in enumerate(shape)]
    for place in torch.cartesian_prod(*[torch.tensor(list(r)) for r in outer]).reshape(
        -1, len(shape)
    ):
        for begin in range(0, shape[axis], m):
            yield [
                (*place[:axis].tolist(), i, *place[axis + 1 :].tolist())
                for i in range(begin, min(begin + m, shape[axis]))
            ]


def by_hand(scores: torch.Tensor, pattern: Pattern) -> torch.Tensor:
    chosen = torch.zeros(scores.shape, dtype=torch.bool)
    for group in groups(tuple(scores.shape), pattern.m):
        # sorted is stable: of equal scores the first wins.
        for place in sorted(group, key=lambda place: -float(scores[place]))[: pattern.n]:
            chosen[place] = True
    return chosen


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_largest_of_each_group_are_kept(shape: tuple[int, ...], text: str) -> None:
    """Integers from -2 to 2, so that there are many ties, and scores of any sign."""
    pattern = Pattern.parse(text)
    scores = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(0)).float()
    masks = pattern.largest({"l0": scores}, dense(shape))
    assert torch.equal(masks["l0"], by_hand(scores, pattern))
    assert masks.kept == pattern.kept(shape) == pattern.count(dense(shape))
    assert pattern.holds(masks)


def test_convolutions_are_grouped_along_their_inputs() -> None:
    """Four inputs of one kernel position, and not four positions of one input."""
    scores = torch.zeros(1, 4, 2, 2)
    scores[0, :2] = 1.0
    chosen = Pattern(2, 4).largest({"l0": scores}, dense((1, 4, 2, 2)))["l0"]
    by_position = (torch.arange(16) % 4 < 2).reshape(1, 4, 2, 2)
    assert torch.equal(chosen, scores.bool())
    assert not Pattern(2, 4).holds(Masks({"l0": by_position}))


def test_counts_of_a_stem_and_a_depthwise_convolution() -> None:
    """3 inputs: 2 of 3. 1 input: dense. 6 inputs: 2 of 4 and 2 of 2. 64 inputs: half."""
    pattern = Pattern.parse("2:4")
    assert pattern.kept((64, 3, 7, 7)) == 64 * 2 * 49
    assert pattern.kept((64, 1, 3, 3)) == 64 * 9
    assert pattern.kept((10, 6)) == 40
    assert pattern.kept((64, 64, 3, 3)) == 64 * 32 * 9
    assert Pattern.parse("1:4").kept((10, 6)) == 20


def test_the_count_is_exact_at_its_own_sparsity() -> None:
    masks = dense((64, 3, 7, 7), (10, 64), (7, 13, 3, 3))
    count = Pattern.parse("2:4").count(masks)
    assert masks.count_at(1 - count / masks.total) == count
    assert Pattern.parse("2:4").sparsity == 0.5
    assert Pattern.parse("1:16").sparsity == 0.9375
    full = dense((10, 64))
    assert full.count_at(Pattern.parse("1:16").sparsity) == Pattern.parse("1:16").count(full)


def test_equal_scores_keep_the_first() -> None:
    """Also with zeros of either sign; topk promises no order."""
    scores = torch.zeros(50, 400)
    scores[:, ::2] = -0.0
    chosen = Pattern(2, 4).largest({"l0": scores}, dense((50, 400)))["l0"]
    assert torch.equal(chosen, (torch.arange(400) % 4 < 2).expand(50, 400))


@given(st.integers(0, 2**32), st.sampled_from([(8, 16), (3, 10), (4, 8, 3, 3)]))
def test_what_was_cut_stays_cut(seed: int, shape: tuple[int, ...]) -> None:
    """After 3:4, 1:4 chooses among the survivors, though the cut weights score highest."""
    stream = torch.Generator().manual_seed(seed)
    once = Pattern(3, 4).largest({"l0": torch.rand(shape, generator=stream)}, dense(shape))
    scores = {"l0": torch.rand(shape, generator=stream) + 9.0 * ~once["l0"]}
    twice = Pattern(1, 4).largest(scores, once)
    assert not (twice["l0"] & ~once["l0"]).any()
    assert twice.kept == Pattern(1, 4).kept(shape)
    revived = by_hand(scores["l0"], Pattern(1, 4))
    assert (revived & ~once["l0"]).any()


def test_the_same_pattern_twice_is_the_same_masks() -> None:
    stream = torch.Generator().manual_seed(0)
    once = Pattern(2, 4).largest({"l0": torch.rand(6, 10, generator=stream)}, dense((6, 10)))
    assert Pattern(2, 4).largest({"l0": torch.rand(6, 10, generator=stream)}, once) == once


def test_a_group_without_enough_weights_alive_is_refused() -> None:
    masks = Masks({"a": torch.ones(2, 8, dtype=torch.bool), "b": torch.arange(8) % 4 > 2})
    with pytest.raises(UserError, match=r"b has groups of 4 with fewer than 2 weights alive"):
        Pattern(2, 4).largest({n: torch.rand(m.shape) for n, m in masks.items()}, masks)


def test_holds_allows_fewer_but_not_more() -> None:
    assert Pattern(2, 4).holds(Masks({"l0": torch.tensor([[1, 1, 0, 0, 0, 0, 0, 0]]).bool()}))
    assert not Pattern(2, 4).holds(Masks({"l0": torch.tensor([[1, 1, 0, 0, 0, 1, 1, 1]]).bool()}))
    # Two in each four, though there are four neighbours.
    assert Pattern(2, 4).holds(Masks({"l0": torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0]]).bool()}))
    assert not Pattern(2, 4).holds(dense((4, 3)))
    assert Pattern(2, 4).holds(dense((4, 2)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_must_be_numbers(bad: float) -> None:
    scores = {"l0": torch.tensor([[1.0, bad, 2.0, 3.0]])}
    with pytest.raises(UserError, match="1 scores of l0 are infinite or not a number"):
        Pattern(2, 4).largest(scores, dense((1, 4)))


@pytest.mark.parametrize("text", TEXTS)
def test_a_pattern_is_written_as_it_is_read(text: str) -> None:
    assert str(Pattern.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "2", "2/4", "4:2", "4:4", "0:4", "2:0", "-1:4", "2:4:8", " 2:4", "2.0:4", "a:b"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f'pattern "{text}" is not of the form N:M, such as "2:4"'):
        Pattern.parse(text)
