"""Steps of training: what may be written, what it means, and its one spelling; and specs."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchcard.contracts import Context, Method, MetricSpec, Spec, Step, UserError
from scratchcard.masks import Masks


@pytest.mark.parametrize(
    ("text", "iterations", "spelling"),
    [
        ("0ep", 0, "0ep"),
        ("3ep", 21, "3ep"),
        ("3.0ep", 21, "3ep"),
        ("003ep", 21, "3ep"),
        ("0.5ep", 4, "0.5ep"),  # 3.5 is rounded to even
        ("2.25ep", 16, "2.25ep"),
        ("0it", 0, "0it"),
        ("500it", 500, "500it"),
        ("500.0it", 500, "500it"),
        ("1000000it", 1_000_000, "1000000it"),
        ("1234567it", 1_234_567, "1234567it"),
        ("0", 0, "0"),
        ("0.75", 52, "0.75"),  # 52.5 is rounded to even
        ("0.750", 52, "0.75"),
        ("0.1234567", 9, "0.1234567"),
        ("0.00001", 0, "0.00001"),
        ("1", 70, "end"),
        ("1.0", 70, "end"),
        ("end", 70, "end"),
    ],
)
def test_steps(text: str, iterations: int, spelling: str) -> None:
    step = Step.parse(text)
    assert step.iterations(per_epoch=7, total=70) == iterations
    assert str(step) == spelling
    assert Step.parse(spelling) == step


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "1.01", "-1ep", "-0ep", "-0.5", "1.5it", "nan", "inf", "nanep", "infit", "ep"),
        *("3 ep", " 3ep", "3ep ", "3epochs", "1_0ep", "1,5ep", "1e3it", "END", "0x3it", "٣ep"),
        *("3ep\n", "it"),
    ],
)
def test_what_is_no_step(text: str) -> None:
    with pytest.raises(UserError, match="is not one of '3ep'") as caught:
        Step.parse(text)
    assert repr(text) in str(caught.value)


@given(st.integers(0, 10**15), st.sampled_from(["ep", "it", ""]))
def test_the_spelling_loses_nothing(digits: int, unit: str) -> None:
    decimals = {"ep": 9, "it": 0, "": 12}[unit]
    value = digits % 10**12 / 10**decimals
    step = Step.parse(f"{value:.{decimals}f}{unit}")
    assert Step.parse(str(step)) == step
    assert str(Step.parse(str(step))) == str(step)


@dataclass(frozen=True)
class Plain(Method):
    """A toy.

    More of it.
    """

    share: float = 0.5

    def start(self, ctx: Context) -> Masks:
        return ctx.masks


def toy_metric(logits: object, *, bins: int = 15, floor: float) -> None:
    """Toy metric."""


def test_a_spec_reads_the_options_off_its_target() -> None:
    spec = Spec(**Spec.common("plain", 2, Plain))
    assert spec.parameters == {"share": (float, 0.5)}
    assert spec.summary == "A toy."
    assert spec.origin == f"{__name__}:Plain"
    assert spec.changed({"share": 0.5}) == {}
    assert spec.changed({"share": 0.25}) == {"share": 0.25}
    function = Spec(**Spec.common("toy", 1, toy_metric))
    assert list(function.parameters) == ["bins", "floor"]
    assert function.changed({"bins": 15, "floor": 0.0}) == {"floor": 0.0}


def test_the_defaults_of_a_method_are_one_shot_at_initialisation() -> None:
    method = Plain()
    assert method.rounds(0.9) == (0.9,)
    assert (method.scored_at, method.starts_from) == ("0ep", "0ep")


def test_a_metric_that_needs_the_dense_twin_is_of_a_pair() -> None:
    common = Spec.common("toy", 1, toy_metric)
    assert MetricSpec(**common, needs=("logits", "dense_logits")).scope == "pair"
    assert MetricSpec(**common, needs=("logits", "test")).scope == "network"
