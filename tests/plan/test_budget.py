"""Equal budgets against sums that can be done by hand."""

from typing import Any

import pytest

from scratchcard.contracts import Method, UserError
from scratchcard.plan.budget import cost, shared
from scratchcard.registry import METHODS
from scratchcard.study import Training

RECIPE: dict[str, Any] = {"epochs": 12, "lr": 0.1, "schedule": "cosine"}


def made(kind: str, **options: Any) -> Method:
    method: Method = METHODS.get(kind).target(**options)
    return method


@pytest.mark.parametrize("kind", ["random", "snip", "rigl", "gmp"])
def test_one_training_has_the_whole_budget(kind: str) -> None:
    assert shared(made(kind), 0.9, RECIPE) == 12


@pytest.mark.parametrize(
    ("kind", "options", "length"),
    [
        ("omp", {}, 12 / 2),
        ("omp", {"rewind": "3ep"}, (12 + 3) / 2),  # 2 L - 3 = 12
        ("omp", {"rewind": "0.25"}, 12 / 1.75),
        ("omp", {"retrain": "fine-tuning"}, 12 / 2),
        ("lth", {"rate": 0.5}, 12 / 4),  # 0.5, 0.75, 0.875: three rounds after the dense one
        ("lth", {"rate": 0.5, "rewind": "1ep"}, (12 + 3) / 4),  # 4 L - 3 = 12
        ("lth", {"rate": 0.5, "rewind": "0.2"}, 12 / 3.4),
        ("lrr", {"rate": 0.5}, 12 / 4),
        ("long-dense", {"rate": 0.5}, 12 / 4),
        ("long-dense", {"rate": 0.5, "rewind": "1ep"}, (12 + 3) / 4),
        ("channels-early", {}, 12.0),
    ],
)
def test_the_rounds_share_it(kind: str, options: dict[str, Any], length: float) -> None:
    method = made(kind, **options)
    found = shared(method, 0.875, RECIPE)
    assert found == pytest.approx(length, rel=1e-9)
    assert cost(method, 0.875, RECIPE, found) == pytest.approx(12, rel=1e-9)


def test_what_cannot_be_shared_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot count step '500it'.*'1ep'"):
        shared(made("lth", rewind="500it"), 0.9, RECIPE)
    with pytest.raises(UserError, match=r"leaves .* of 11 epochs.*goes back to epoch 11.9"):
        shared(made("lth", rate=0.1, rewind="11.9ep"), 0.999, RECIPE | {"epochs": 11})


def test_a_recipe_that_cannot_be_shortened_is_refused() -> None:
    recipe = Training(epochs=12, schedule="step", milestones=("6ep", "9ep"))
    with pytest.raises(UserError, match=r'3 epochs.*"6ep" lies beyond.*as fractions'):
        recipe.with_epochs(3)
