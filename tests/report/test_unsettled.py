"""Readings that did not settle are told of, and those that did are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchcard.contracts import Part
from scratchcard.report import summary
from scratchcard.report.unsettled import unsettled
from scratchcard.results import Results
from tests.factory import make_results


def with_part(name: str, value: float) -> Results:
    """The last network's trace says this of itself."""
    plain = make_results(seeds=1, targets=(0.5,), metrics=("hessian-trace",), examples=20)
    *others, last = plain.networks
    parts = {name: Part(value, 0.0, 20)}
    reading = replace(last.readings["hessian-trace"], parts=parts)
    told = replace(last, readings={"hessian-trace": reading})
    return replace(plain, networks=(*others, told))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("residual", 0.3, "has not converged: a residual of up to 30 % is left."),
        ("residual, all coordinates", 0.3, "has not converged: a residual of up to 30 % is left."),
        ("unconverged", 0.12, "has not converged on up to 12 % of the images."),
        ("interrupted, batch 64", 0.5, "was interrupted in up to 50 % of its measurements."),
    ],
)
def test_what_did_not_settle_is_told(name: str, value: float, words: str) -> None:
    results = with_part(name, value)
    (sentence,) = unsettled(results)
    assert sentence == f"{results.metrics['hessian-trace'].title} {words}"
    assert sentence in summary.warnings(results)


@pytest.mark.parametrize(
    ("name", "value"),
    [("residual", 0.01), ("unconverged", 0.0), ("interrupted", 0.1), ("residuals", 9.0)],
)
def test_what_settled_is_not(name: str, value: float) -> None:
    assert unsettled(with_part(name, value)) == []
