"""What Hessian probes hold: one graph at a time, and no more for more probes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from torch import Tensor

from scratchcard.contracts import Reading
from scratchcard.metrics.landscape import hessian, input_hessian, weight_hessian_trace
from scratchcard.metrics.landscape.input_hessian_top import input_hessian_top
from scratchcard.metrics.landscape.input_hessian_trace import input_hessian_trace
from scratchcard.metrics.landscape.weight_hessian_top import weight_hessian_top
from tests.metrics.landscape.curved import convolutional, images

trace = weight_hessian_trace.weight_hessian_trace


@pytest.mark.parametrize(
    "metric",
    [
        partial(trace, probes=2),
        partial(weight_hessian_top, steps=2),
        partial(input_hessian_trace, exact_classes=0, probes=2),
        partial(input_hessian_top, exact_classes=0, steps=2),
    ],
)
def test_a_graph_ends_before_the_next_begins(
    metric: Callable[..., Reading], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Any]] = []

    def watched(number: Tensor, inputs: Any) -> Any:
        assert not any(reference() for reference in made)
        apply = hessian_products(number, inputs)
        made.append(weakref.ref(apply))
        return apply

    hessian_products = hessian.products
    for module in (hessian, input_hessian):
        monkeypatch.setattr(module, "products", watched)
    metric(convolutional(), images(6, shape=(1, 6, 6)), batch_size=2)
    assert len(made) >= 3


@pytest.mark.parametrize("lazy", [True, False])
def test_what_is_held_grows_with_no_number_of_probes(
    lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would if all of them were drawn at once."""
    by_blocks, quadratic = hessian.by_blocks, hessian._quadratic
    tensors: list[int] = []

    def counted(apply: Callable[[Tensor], Tensor], vector: Tensor) -> float:
        tensors.append(sum(issubclass(type(found), Tensor) for found in gc.get_objects()))
        return quadratic(apply, vector)

    def at_once(*given: Any, directions: Any, **rest: Any) -> Any:
        return by_blocks(*given, directions=lambda b: iter(list(directions(b))), **rest)

    def most(probes: int) -> int:
        tensors.clear()
        trace(convolutional(), images(3, shape=(1, 6, 6)), probes=probes)
        return max(tensors)

    monkeypatch.setattr(hessian, "_quadratic", counted)
    if not lazy:
        monkeypatch.setattr(weight_hessian_trace, "by_blocks", at_once)
    most(2)
    assert (most(8) == most(2)) == lazy
