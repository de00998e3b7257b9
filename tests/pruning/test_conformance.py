"""Every method keeps what all of them promise, by default and in its variations."""

from typing import Any

import pytest
import torch
from torch import nn

from scratchcard.contracts import Context, UserError
from scratchcard.explain import page
from scratchcard.masks import Masks
from scratchcard.registry import METHODS
from scratchcard.testing import check_method
from scratchcard.testing.cases import Case, Subject, cases, drawn

CONTROLS = ("shuffled", "reinitialised", "sign-flipped")
REQUIRED: dict[str, dict[str, Any]] = {name: {"of": "lth"} for name in CONTROLS}
SLOW: dict[str, dict[str, Any]] = {"synflow": {"iterations": 20}}
"""By default it takes a hundred; its own test has them."""

SCORED = ("random", "magnitude-init", "omp", "lth", "lrr", "lamp", "snip", "grasp", "synflow")
VARIATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {"pattern": "2:4"}) for name in SCORED if name != "lamp"),
    *((name, {"allocation": "erk"}) for name in SCORED),
    *((name, {"allocation": a}) for name in ("random", "rigl") for a in ("uniform", "er")),
    *((name, {"allocation": "global"}) for name in ("lamp", "rigl", "set")),
    *((name, {"allocation": "lamp"}) for name in ("omp", "lth", "snip", "gmp")),
    *((name, {"retrain": "lr-rewinding", "rewind": "1ep"}) for name in ("omp", "lth", "channels")),
    *((name, {"retrain": "fine-tuning"}) for name in ("omp", "lth", "lamp", "channels")),
    ("grasp", {"absolute": True, "allocation": "lamp"}),
    ("grasp", {"temperature": 1.0}),
    ("lth", {"rate": 0.488, "rewind": "500it"}),
    ("random", {"pattern": "1:8"}),
    ("synflow", {"iterations": 1, "allocation": "uniform"}),
    ("gmp", {"allocation": "uniform", "since": "0ep", "until": "end", "every": "5it"}),
    ("rigl", {"fraction": 1.0, "every": "3it", "until": "end"}),
    ("set", {"every": "10it", "updates": 3}),
    ("sign-flipped", {"of": "omp", "share": 1.0}),
    ("long-dense", {"rate": 0.5, "rewind": "0.25"}),
    ("channels", {"importance": "taylor"}),
    ("channels", {"importance": "bn-scale", "least": 2}),
    ("channels-init", {"importance": "magnitude"}),
    ("channels-early", {"tau": 0.5, "last": 1, "every": 0.25}),
]


def named(variation: tuple[str, dict[str, Any]]) -> str:
    name, options = variation
    return " ".join([name, *(f"{key}={value}" for key, value in options.items())])


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method(name: str) -> None:
    check_method(name, **{**REQUIRED.get(name, {}), **SLOW.get(name, {})})


@pytest.mark.parametrize("variation", VARIATIONS, ids=named)
def test_variations(variation: tuple[str, dict[str, Any]]) -> None:
    name, options = variation
    check_method(name, **{**SLOW.get(name, {}), **options})


def test_every_method_that_scores_is_varied() -> None:
    able = [name for name in METHODS.names() if "pattern" in METHODS.get(name).parameters]
    assert sorted(able) == sorted(SCORED)


def subject(name: str) -> Subject:
    options = {**REQUIRED.get(name, {}), **SLOW.get(name, {})}
    spec = METHODS.get(name)
    return Subject(spec, spec.target(**options), options)


def context(name: str, case: Case) -> Context:
    model = case.network()
    ones = Masks.ones(model)
    other = drawn(ones, 0.5) if name in REQUIRED else None
    return case.context(subject(name), model, ones, 0.5, other=other)


@pytest.mark.parametrize("case", cases()[1:], ids=lambda case: case.title)
def test_only_structure_refuses_odd_networks(case: Case) -> None:
    """A plug-in may refuse any network but the first; of ours, only those that must."""
    refused = {}
    for name in METHODS.names():
        try:
            subject(name).method.start(context(name, case))
        except UserError as error:
            refused[name] = str(error)
    assert refused.keys() <= {"channels", "channels-early", "channels-init", "small-dense"}
    mends = ("take a method that gives masks", "register it with @scratchcard.model")
    assert all(any(mend in words for mend in mends) for words in refused.values())


@pytest.mark.parametrize("name", METHODS.names())
def test_explain_shows_every_section(name: str) -> None:
    shown = page(name)
    for heading in ("Definition", "Formula", "Use", "Limits", "Source", "Options"):
        assert f"{heading}:\n" in shown, heading
    assert all(f"{option}: " in shown for option in METHODS.get(name).parameters)


@pytest.mark.parametrize("name", METHODS.names())
def test_a_network_in_training_mode_is_scored_alike(name: str) -> None:
    """The mode is the caller's affair, and ``prune`` leaves it to them."""
    case = cases()[0]
    found = []
    for training in (False, True):
        ctx = context(name, case)
        ctx.model.train(training)
        found.append(subject(name).method.start(ctx))
    assert found[0] == found[1]


def test_the_networks_are_what_the_suite_says() -> None:
    """Attention, grouped and depth-wise convolutions, a shared weight, biases and BatchNorm."""
    residual, odd, transformer = (case.network() for case in cases())
    groups = {layer.groups for layer in odd.modules() if isinstance(layer, nn.Conv2d)}
    assert groups == {1, 2, 6}
    linears = [layer.weight for layer in odd.modules() if isinstance(layer, nn.Linear)]
    assert len({id(weight) for weight in linears}) == len(linears) - 1
    for model in (residual, odd):
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert any(isinstance(layer, nn.MultiheadAttention) for layer in transformer.modules())
    assert all(Masks.ones(model).total < 2500 for model in (residual, odd, transformer))
    for model in (residual, odd, transformer):
        assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 3)
