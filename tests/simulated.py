"""Studies drawn from normal distributions whose truth is known exactly, to count errors in.

Unlike those of the factory they have no shapes of their own: sizes are given in margins.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.results import Measured, Results
from scratchcard.seeds import numpy_stream
from scratchcard.verdict import Ticket, judge
from tests.factory import make_results
from tests.kinds import KINDS

VOTES = ("accuracy", "ood-auroc", "mce", "nll", "ece", "brier", "fidelity", "hessian-trace")
"""Eight headline metrics, of all four dimensions."""
METHODS = ("random", "omp", "lth")
TARGETS = (0.36, 0.5904, 0.7903, 0.8926)


@dataclass(frozen=True)
class Spread:
    """How one metric varies, in margins.

    Attributes:
        seeds: Standard deviation of a reading over seeds, on the test images at hand.
        shared: Error of a difference over the choice of images, common to all seeds.
        own: Error over the choice of images that a pair has for itself; part of ``seeds``.
    """

    seeds: float = 0.5
    shared: float = 0.1
    own: float = 0.3


Spreads = Mapping[str, Spread]
Gain = Callable[[int, str], float]
"""Number of a ticket and label of a metric to the true gain over dense, in margins."""
Widths = Callable[[int], float]
"""Number of a ticket to the factor on how its readings vary over seeds."""


def simulate(
    seed: int,
    seeds: int,
    gain: Gain,
    *,
    spreads: Spreads | None = None,
    widths: Widths = lambda ticket: 1.0,
    images: int = 100,
    methods: tuple[str, ...] = METHODS,
) -> Results:
    """A study of four tickets of each method.

    Args:
        seed: Of every random number here.
        seeds: How many seeds of training.
        gain: The truth.
        spreads: By label; all metrics not named are as a plain ``Spread``.
        widths: Where tickets vary more, or less, than dense networks.
        images: Of the test split.
        methods: Their labels.
    """
    plain = _plain(seeds, methods)
    readings: list[dict[str, Reading]] = [{} for _ in plain.networks]
    for label in VOTES:
        spread = (spreads or {}).get(label, Spread())
        shape = (len(methods) * len(TARGETS), seeds, images)
        drawn = _draw(numpy_stream(seed, label), label, spread, shape, gain, widths)
        for number, examples in enumerate(drawn.reshape(-1, images)):
            stderr = float(examples.std(ddof=1)) / math.sqrt(images)
            readings[number][label] = Reading(
                float(examples.mean()), stderr, images, examples=examples
            )
    networks = tuple(
        replace(measured, readings=own)
        for measured, own in zip(plain.networks, readings, strict=True)
    )
    return replace(plain, networks=networks)


@cache
def _plain(seeds: int, methods: tuple[str, ...]) -> Results:
    """A study without readings."""
    bare = make_results(methods=methods, targets=TARGETS, seeds=seeds, metrics=())
    specs = {label: KINDS[label].spec for label in VOTES}
    networks: list[Measured] = [replace(m, missing={}) for m in bare.networks]
    return replace(
        bare,
        metrics=specs,
        margins={label: spec.margin or 0.0 for label, spec in specs.items()},
        networks=tuple(networks),
    )


def _draw(
    rng: np.random.Generator,
    label: str,
    spread: Spread,
    shape: tuple[int, int, int],
    gain: Gain,
    widths: Widths,
) -> np.ndarray:
    """One metric on every image: [1 + tickets, seeds, images], the dense twins first."""
    tickets, seeds, images = shape
    spec, dense = KINDS[label].spec, KINDS[label].dense
    gains = np.array([0.0, *(gain(number, label) for number in range(tickets))])
    width = np.array([1.0, *(widths(number) for number in range(tickets))])
    sign = 1 if spec.better == "higher" else -1
    alone = spread.own / math.sqrt(2)  # of one network of the pair
    trained = width * math.sqrt(spread.seeds**2 - alone**2)
    level = sign * gains[:, None] + trained[:, None] * rng.normal(size=(1 + tickets, seeds))
    noise = np.zeros((1 + tickets, seeds, images))
    noise[1:] += spread.shared * rng.normal(size=(tickets, 1, images))
    noise += alone * width[:, None, None] * rng.normal(size=noise.shape)
    noise *= math.sqrt(images)
    # What an image is like for all networks; it cancels from their differences.
    noise += rng.normal(size=images)
    margin = spec.margin or 0.0
    if spec.scale == "log":
        return np.asarray(dense * np.exp(margin * level)[..., None] * (1 + margin * noise))
    return np.asarray(dense + margin * (level[..., None] + noise))


def tickets_of(
    studies: int, seeds: int, gain: Gain, *, first: int = 0, **more: object
) -> Iterator[list[Ticket]]:
    """The verdicts on the tickets of each of so many studies, from ``judge`` itself."""
    for number in range(first, first + studies):
        yield list(judge(simulate(number, seeds, gain, **more)).tickets)  # type: ignore[arg-type]
