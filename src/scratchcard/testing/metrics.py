"""A conformance suite for metrics: what holds for ours, and for a plug-in's."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NEED_OPTIONS, VOTING, MetricSpec, NotApplicable, Reading
from scratchcard.masks import Masks
from scratchcard.metrics.measure import call, options
from scratchcard.registry import METRICS
from scratchcard.report.guide import sections
from scratchcard.testing.cases import bits
from scratchcard.testing.metric_cases import (
    ODD_CASES,
    Answering,
    Available,
    case,
    given,
    permuted,
    shuffled,
    with_one,
)

SECTIONS = ("Definition", "Formula", "Motivation", "Advantages", "Limitations", "Source")
"""What the docstring of every metric holds, beside its first line."""
OF_OTHERS = ("dense_", "all_dense_", "other_", "corruption_baseline")
"""How the names of needs begin that come from other networks."""
IMAGES = 40
"""Of each split in the ordinary case."""
WRONG_ANSWERS: Mapping[str, Callable[[Tensor], Any]] = {
    "a tuple": lambda logits: (logits, logits),
    "a dictionary": lambda logits: {"logits": logits},
    "probabilities": lambda logits: logits.softmax(dim=1),
    "logits that are no numbers": lambda logits: logits * torch.nan,
    "infinite logits": lambda logits: logits.abs() * torch.inf,
}
"""What a network may return that no metric can read, and how it comes about."""


def check_metric(
    name: str,
    *,
    ordered: bool = False,
    placed: bool = False,
    itself: float | None = 0.0,
    classes: int = 6,
    **params: Any,
) -> None:
    """Run a registered metric through cases that have broken metrics before.

    It must be documented and declared, answer an ordinary case with a finite number, answer odd
    ones (``metric_cases.ODD_CASES``: two classes, a thousand, a constant predictor, boundless
    confidence, classes without images, one image, no BatchNorm ...) or refuse them with a
    ``ValueError``, and leave the networks, the images and all random numbers as they were.

    Measured again, or of a copy of the network, it must give the same bits; of a network that is
    compared with itself, the number that says so. With the images or the hidden units in another
    order, or in other batches, it must agree to 1e-5, or but for one image.

    If it runs the model, it must refuse (``ValueError``) what returns a tuple, a dictionary or
    probabilities, and logits that are infinite or not a number. What a network costs (the
    dimension efficiency) does not depend on its answers: there anything goes.

    Args:
        name: The metric.
        ordered: The metric draws noise by an image's position, so that order does matter.
        placed: The metric draws noise by a weight's place, so that the order of hidden units does.
        itself: For a metric that looks at other networks too: its value where they all are the
            network itself. 0 suits a difference, 1 a ratio; None if no number is right for it.
        classes: Of the ordinary case, for a metric that wants so many.
        **params: Options whose defaults do not suit, or that have none.

    Raises:
        AssertionError: Saying which of these does not hold.
    """
    spec = METRICS.get(name)
    _check_declaration(spec)
    subject = _Subject(spec, options(spec, "default", params), classes)
    ordinary = case(classes=classes, n=IMAGES)
    first = subject.reading(ordinary)
    _check_reading(name, first)
    if not spec.timed:
        _check_repeats(subject, first, ordinary)
        _check_itself(subject, ordinary, itself)
        _check_order(subject, first, ordinary, ordered, placed)
    _check_refusals(subject, ordinary)
    for title, odd in ODD_CASES.items():
        if "seeds" in odd and spec.scope != "group":
            continue
        try:
            reading = subject.reading(case(**odd))
        except ValueError:
            continue
        _check_reading(f"{name}, {title}", reading)


@dataclass(frozen=True)
class _Subject:
    """The metric that is tried: its spec, every option, and the classes of the ordinary case."""

    spec: MetricSpec
    options: Mapping[str, Any]
    classes: int

    def reading(self, available: Available, **changed: Any) -> Reading:
        """Its answer; what it must not change is watched."""
        networks = nn.ModuleList([available["model"](), available["dense_model"]()])
        with _untouched(self.spec.name, networks, available["test"]().pixels):
            return call(self.spec, available, {**self.options, **changed})

    def of(self, model: nn.Sequential, dense: nn.Sequential, **others: Any) -> Reading:
        """Its answer about other networks in the ordinary case."""
        return self.reading(given(model, dense, n=IMAGES, classes=self.classes, **others))

    def refuses(self, available: Available) -> bool:
        """Whether it answers with a ``ValueError``, and neither with a number nor another error."""
        try:
            self.reading(available)
        except ValueError:
            return True
        except (AttributeError, TypeError, LookupError, RuntimeError, ArithmeticError):
            return False
        return False


def _check_repeats(subject: _Subject, first: Reading, ordinary: Available) -> None:
    name, again = subject.spec.name, subject.reading(ordinary)
    assert _same(first, again), f"{name}: measured twice, it gives two answers"
    copied = subject.of(*copy.deepcopy((ordinary["model"](), ordinary["dense_model"]())))
    assert _same(first, copied), f"{name}: of a copy of the network it gives another answer"


def _check_itself(subject: _Subject, ordinary: Available, itself: float | None) -> None:
    """That a network and its copy do not differ."""
    if itself is None or not any(need.startswith(OF_OTHERS) for need in subject.spec.needs):
        return
    model = ordinary["model"]()
    try:
        reading = subject.of(model, copy.deepcopy(model), others={"copy": Masks.alive(model)})
    except NotApplicable:
        return
    # Not quite ==: a mean of ratios of 1 is 1 to rounding. Of 0 only 0 is left.
    assert np.isclose(reading.value, itself, rtol=1e-12, atol=0), (
        f"{subject.spec.name}: of a network beside itself it is {reading.value}, not {itself}; "
        "if that is what no difference looks like, say so: check_metric(..., itself=...)"
    )


def _check_order(
    subject: _Subject, first: Reading, ordinary: Available, ordered: bool, placed: bool
) -> None:
    """That nothing depends on the order of images and hidden units, nor on batches."""
    spec = subject.spec
    if not ordered:
        other = subject.reading(shuffled(ordinary))
        _check_close(spec, first, other, "in another order")
    if "batch_size" in subject.options:
        other = subject.reading(ordinary, batch_size=19)
        _check_close(spec, first, other, "in batches of 19")
    if spec.dimension != "efficiency" and not placed:  # packed weights differ in size
        other = subject.of(permuted(ordinary["model"]()), permuted(ordinary["dense_model"]()))
        _check_close(spec, first, other, "with hidden units in another order", units=True)


def _check_refusals(subject: _Subject, ordinary: Available) -> None:
    """That no number is made of what are no logits; one that does not run a network may ignore it.

    Logits are tried alone where they come as arrays: ``Predictions`` look after themselves.
    """
    name, needs = subject.spec.name, subject.spec.needs
    for need in ("model", "dense_model"):
        if need not in needs or subject.spec.dimension == "efficiency":
            continue
        for what, change in WRONG_ANSWERS.items():
            network = Answering(ordinary[need](), change)
            refused = subject.refuses({**ordinary, need: partial(_self, network)})
            assert refused or not network.runs, (
                f"{name}: it has no ValueError for a {need} that returns {what}; probe.logits and "
                "probe.inference_copy refuse what are no logits, Predictions what are no numbers"
            )
    for value in (np.nan, np.inf) if "ood_logits" in needs else ():
        broken = with_one(ordinary["ood_logits"](), value)
        refused = subject.refuses({**ordinary, "ood_logits": partial(_self, broken)})
        assert refused, f"{name}: it has no ValueError for ood_logits with {value} among them"


def _self(value: Any) -> Any:
    return value


@contextmanager
def _untouched(name: str, networks: nn.Module, pixels: Tensor) -> Iterator[None]:
    """Assert that the block changes neither networks, nor images, nor random numbers."""

    def state() -> dict[str, Any]:
        tensors = {**dict(networks.named_parameters()), **dict(networks.named_buffers())}
        modules = list(networks.modules())
        return {
            "torch's random numbers": bits({"state": torch.get_rng_state()}),
            "numpy's random numbers": pickle.dumps(np.random.get_state()),
            "weights or buffers": bits(tensors),
            "gradients": {key: (t.requires_grad, t.grad is None) for key, t in tensors.items()},
            "the mode": [module.training for module in modules],
            "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in modules],
            "the test images": bits({"pixels": pixels}),
        }

    before = state()
    yield
    for (kind, old), new in zip(before.items(), state().values(), strict=True):
        assert old == new, f"{name}: it changed {kind}"


def _check_declaration(spec: MetricSpec) -> None:
    found = dict(sections(spec.doc))
    missing = [title for title in SECTIONS if not found.get(title)]
    assert not missing, f"{spec.name}: its docstring lacks {', '.join(missing)}"
    assert spec.summary, f"{spec.name}: its docstring has no first line"
    assert spec.title, f"{spec.name}: it has no title"
    assert spec.better in ("higher", "lower"), f"{spec.name}: better is {spec.better!r}"
    assert spec.margin is None or spec.margin > 0, f"{spec.name}: margin is {spec.margin}"
    assert not spec.headline or spec.margin, f"{spec.name}: it votes without a margin"
    assert not spec.headline or spec.dimension in VOTING, f"{spec.name}: its dimension has no vote"
    strange = set(spec.paper) - set(spec.parameters)
    assert not strange, f"{spec.name}: the profile paper sets unknown options {sorted(strange)}"


def _check_reading(what: str, reading: Reading) -> None:
    assert reading.stderr >= 0, f"{what}: standard error {reading.stderr}"
    assert reading.n > 0, f"{what}: it rests on {reading.n} examples"
    json.dumps(dict(reading.params), allow_nan=False)
    for label, part in reading.parts.items():
        finite = np.isfinite([part.value, part.stderr]).all()
        assert finite, f"{what}: part {label!r} is {part.value} with error {part.stderr}"
    if reading.examples is not None:
        assert len(reading.examples) == reading.n, f"{what}: n is not the number of examples"
        mean = float(np.mean(reading.examples))
        assert np.isclose(mean, reading.value, rtol=1e-9, atol=1e-9), (
            f"{what}: examples average {mean}, not {reading.value}"
        )
    if reading.replicates is not None:
        spread = float(np.std(reading.replicates, ddof=1))
        assert np.isclose(spread, reading.stderr, rtol=1e-9, atol=1e-9), (
            f"{what}: replicates spread by {spread}, not by {reading.stderr}"
        )


def _same(one: Reading, two: Reading) -> bool:
    """Whether two readings are equal to the last bit."""

    def plain(reading: Reading) -> list[Any]:
        arrays = (reading.examples, reading.replicates)
        return [reading.value, reading.stderr, reading.n, dict(reading.parts)] + [
            None if array is None else array.tolist() for array in arrays
        ]

    return plain(one) == plain(two)


def _check_close(
    spec: MetricSpec, one: Reading, two: Reading, how: str, *, units: bool = False
) -> None:
    # Other batches or units change the last bits of logits, so these get the design's 1e-5.
    inexact = units or bool({"model", "dense_model", *NEED_OPTIONS} & set(spec.needs))
    tolerance = 1e-5 if inexact else 1e-9

    def apart(x: Any, y: Any) -> int:
        return int(np.sum(~np.isclose(x, y, rtol=tolerance, atol=tolerance)))

    if not apart(one.value, two.value):
        return
    # From there an attack may go another way, which decides an image.
    rows = [np.sort(found.examples) for found in (one, two) if found.examples is not None]
    but_one = inexact and len(rows) == 2 and apart(*rows) <= 1
    assert but_one, f"{spec.name}: {how} it is {two.value}, not {one.value}"
