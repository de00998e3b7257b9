"""Schedules against their closed forms, exactly at the endpoints."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import UserError
from scratchcard.pruning.schedule import cosine, cubic, exponential


@given(st.floats(1e-6, 1), st.integers(1, 200))
def test_exponential_cuts_the_same_share_each_time(density: float, n: int) -> None:
    steps = exponential(density, n)
    assert len(steps) == n
    assert steps[-1] == density
    shares = [after / before for before, after in zip((1.0, *steps), steps, strict=False)]
    assert shares == pytest.approx([math.exp(math.log(density) / n)] * n)


def test_exponential_in_one_hundred_steps() -> None:
    """SynFlow's schedule: 0.01 to the power of k / 100."""
    steps = exponential(0.01, 100)
    assert steps[49] == pytest.approx(0.1)
    assert steps[0] == pytest.approx(0.9549925860214360)


@pytest.mark.parametrize(("density", "n"), [(0.1, 0), (0.1, -1), (0.0, 3), (1.1, 3), (math.nan, 3)])
def test_exponential_of_nonsense(density: float, n: int) -> None:
    with pytest.raises(UserError, match="too few" if n < 1 else "must lie above 0"):
        exponential(density, n)


@given(st.integers(0, 1000), st.integers(1, 1000), st.floats(0, 1), st.floats(0, 1))
def test_cubic_has_exact_endpoints(begin: int, length: int, final: float, initial: float) -> None:
    end = begin + length
    assert cubic(begin, begin, end, final, initial) == initial
    assert cubic(end, begin, end, final, initial) == final
    assert cubic(begin - 5, begin, end, final, initial) == initial
    assert cubic(end + 5, begin, end, final, initial) == final


def test_cubic_is_that_of_zhu_and_gupta() -> None:
    """By hand, from 0.5 to 0.9: 0.9 - 0.4 (3/4)^3, 0.9 - 0.4 (1/2)^3, 0.9 - 0.4 (1/4)^3."""
    found = [cubic(step, 100, 500, final=0.9, initial=0.5) for step in (200, 300, 400)]
    assert found == pytest.approx([0.73125, 0.85, 0.89375])


def test_a_step_too_far_is_another_schedule() -> None:
    """Progress (t + 1 - t0) / (t1 - t0), as some have it, is neither 0 at t0 nor clamped."""

    def early(step: int) -> float:
        return 0.9 * (1 - (1 - (step + 1 - 10) / 10) ** 3)

    assert cubic(10, 10, 20, 0.9) == 0.0 != early(10)
    assert all(cubic(step, 10, 20, 0.9) < early(step) for step in range(10, 19))


@given(st.floats(0.01, 1))
def test_cubic_never_falls(final: float) -> None:
    path = [cubic(step, 7, 93, final) for step in range(100)]
    assert path == sorted(path)


def test_cubic_over_no_time_is_a_jump() -> None:
    assert [cubic(step, 5, 5, 0.8) for step in (4, 5, 6)] == [0.0, 0.8, 0.8]


def test_cubic_cannot_run_backwards() -> None:
    with pytest.raises(UserError, match="cannot end at 3, before its beginning at 5"):
        cubic(4, 5, 3, 0.8)


def test_cosine_of_rigl() -> None:
    """At thirds of the way: cos(pi / 3) = 1/2 and cos(2 pi / 3) = -1/2."""
    assert cosine(0, 75, 0.3) == 0.3
    assert [cosine(step, 75_000, 0.3) for step in (25_000, 37_500, 50_000)] == pytest.approx(
        [0.225, 0.15, 0.075]
    )


@pytest.mark.parametrize("step", [75, 76, 100, 150])
def test_cosine_is_over_at_its_end(step: int) -> None:
    """Left alone, the cosine would rise again."""
    assert cosine(step, 75, 0.3) == 0.0
    assert cosine(74, 75, 0.3) > 0.0


def test_cosine_over_no_time() -> None:
    assert cosine(0, 0, 0.3) == 0.0
