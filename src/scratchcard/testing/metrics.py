"""A conformance suite for metrics: what holds for ours, and for a plug-in's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from scratchcard.contracts import VOTING, MetricSpec, Reading
from scratchcard.data.base import Images
from scratchcard.masks import Masks
from scratchcard.metrics.measure import call, options, providers
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS
from scratchcard.report.guide import sections
from scratchcard.seeds import torch_stream

SECTIONS = ("Definition", "Formula", "Motivation", "Advantages", "Limitations", "Source")
"""What the docstring of every metric holds, beside its first line."""
Available = Mapping[str, Callable[[], Any]]


def check_metric(name: str, *, ordered: bool = False, **params: Any) -> None:
    """Run a registered metric through cases that have broken metrics before.

    It must be documented and declared, answer an ordinary case with a finite number, answer odd
    ones (two classes, a thousand, a constant predictor, boundless confidence, a class without
    images, seven images) or refuse them with a ``ValueError``, repeat itself exactly, not depend
    on the order of the images or on ``batch_size``, and leave the model and torch's random
    numbers as they were.

    Args:
        name: The metric.
        ordered: The metric draws noise by an image's position, so that order does matter.
        **params: Options that have no default.

    Raises:
        AssertionError: Saying which of these does not hold.
    """
    spec = METRICS.get(name)
    _check_declaration(spec)
    full = options(spec, "default", params)
    given = _case(classes=6, n=40)
    first, again = _run(spec, given, full), _run(spec, given, full)
    _check_reading(name, first)
    assert _same(first, again), f"{name}: measured twice, it gives two answers"
    if not ordered:
        _check_close(spec, first, _run(spec, _shuffled(given), full), "in another order")
    if "batch_size" in full:
        batched = _run(spec, given, full | {"batch_size": 7})
        _check_close(spec, first, batched, "in batches of 7")
    for case, odd in ODD_CASES.items():
        try:
            reading = _run(spec, _case(**odd), full)
        except ValueError:
            continue
        _check_reading(f"{name}, {case}", reading)


ODD_CASES: Mapping[str, Mapping[str, Any]] = {
    "two classes": {"classes": 2, "n": 20},
    "a thousand classes": {"classes": 1000, "n": 12},
    "boundless confidence": {"classes": 3, "n": 20, "scale": 1e4},
    "a constant predictor": {"classes": 3, "n": 20, "scale": 0.0},
    "a class without images": {"classes": 3, "n": 20, "labelled": 2},
    "seven images": {"classes": 3, "n": 7},
}


def _network(classes: int, scale: float, seed: int) -> nn.Module:
    """A small network with BatchNorm and dropout; ``scale`` multiplies its logits' spread."""
    stream = torch_stream(seed, "check_metric")
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, classes),
    )
    for parameter in network.parameters():
        drawn = torch.randn(parameter.shape, generator=stream)
        parameter.data = drawn * (scale if len(parameter) == classes else 1.0)
    return network.eval()


def _images(n: int, classes: int, purpose: str) -> Images:
    stream = torch_stream(0, "check_metric", purpose)
    pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % classes)


def _half(model: nn.Module) -> Masks:
    """Masks that keep about every other weight."""
    stream = torch_stream(0, "check_metric", "masks")
    return Masks(
        {n: torch.rand(m.shape, generator=stream) < 0.5 for n, m in Masks.ones(model).items()}
    )


def _case(*, classes: int, n: int, scale: float = 0.1, labelled: int | None = None) -> Available:
    """Everything a metric may need; the models themselves, not copies of them."""
    model, dense = _network(classes, scale, seed=0), _network(classes, scale, seed=1)
    test, train, val = (
        _images(n, labelled or classes, split) for split in ("test", "train", "val")
    )
    ood = {kind: _images(n + 3, classes, kind) for kind in ("noise", "other")}
    others = {"dense": Masks.ones(model), "shuffled": _half(model)}
    found = providers(model, test, train=train, val=val, ood=ood, dense=dense, others=others)
    return found | {"model": lambda: model, "dense_model": lambda: dense}


def _shuffled(given: Available) -> Available:
    """The same case with its test images in another order."""
    order = torch.randperm(len(given["test"]()), generator=torch_stream(0, "check_metric", "order"))

    def shuffle(found: Predictions) -> Predictions:
        return Predictions(found.logits[order.numpy()], found.labels[order.numpy()])

    return dict(given) | {
        "test": lambda: given["test"]().take(order),
        "logits": lambda: shuffle(given["logits"]()),
        "dense_logits": lambda: shuffle(given["dense_logits"]()),
    }


def _run(spec: MetricSpec, given: Available, params: Mapping[str, Any]) -> Reading:
    with _untouched(spec.name, given["model"]()), _untouched(spec.name, given["dense_model"]()):
        return call(spec, given, params)


@contextmanager
def _untouched(name: str, model: nn.Module) -> Iterator[None]:
    """Assert that the block changes neither the model nor torch's random numbers."""

    def state() -> list[Any]:
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        return [
            torch.get_rng_state().tolist(),
            {key: tensor.detach().clone().tolist() for key, tensor in tensors.items()},
            {key: (t.requires_grad, t.grad is None) for key, t in tensors.items()},
            [module.training for module in model.modules()],
            [len(module._forward_hooks) for module in model.modules()],
        ]

    before = state()
    yield
    what = ("torch's random numbers", "weights or buffers", "gradients", "the mode", "hooks")
    for kind, old, new in zip(what, before, state(), strict=True):
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


def _check_close(spec: MetricSpec, one: Reading, two: Reading, how: str) -> None:
    # Another batch changes a convolution's last bits, so models get the design's 1e-5.
    tolerance = 1e-5 if {"model", "dense_model"} & set(spec.needs) else 1e-9
    assert np.isclose(one.value, two.value, rtol=tolerance, atol=tolerance), (
        f"{spec.name}: {how} it is {two.value}, not {one.value}"
    )
