"""Synthetic studies whose truth is known, for the tests of verdict, words and report.

Examples and resamples are shared between networks, as in a real study, so differences are paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.graph import Network
from scratchcard.results import Budget, Measured, Results
from scratchcard.seeds import numpy_stream
from tests.kinds import KINDS, PANEL, Kind

PRUNABLE = 10_000
CLASSES = 10
REPLICATES = 200
TITLES = {
    "random": "Random pruning",
    "omp": "One-shot magnitude (OMP)",
    "lth": "Lottery tickets (LTH)",
    "snip": "SNIP",
    "synflow": "SynFlow",
    "grasp": "GraSP",
    "magnitude-init": "Magnitude at initialisation",
    "lamp": "Layer-adaptive magnitude (LAMP)",
    "lrr": "Learning-rate rewinding (LRR)",
    "gmp": "Gradual magnitude (GMP)",
    "rigl": "Rigged lottery (RigL)",
    "set": "Sparse evolutionary training (SET)",
    "channels": "Channel pruning",
    "omp-2:4": "One-shot magnitude (OMP), 2:4",
    "erk": "Random pruning, erk",
    "shuffled": "Shuffled mask",
    "reinitialised": "Reinitialised",
    "sign-flipped": "Sign-flipped",
    "long-dense": "Long dense",
    "small-dense": "Small dense",
}
CAST = (
    *("lth", "random", "omp", "snip", "grasp", "synflow", "magnitude-init", "lamp", "lrr", "gmp"),
    *("rigl", "set", "channels", "omp-2:4", "erk"),
    *("shuffled", "reinitialised", "sign-flipped", "long-dense", "small-dense"),
)
"""The methods of ``everybody``; the last five are controls."""
FRAGILITY = {
    **{"random": 2.5, "omp": 0.5, "lth": 0.12, "snip": 1.0, "synflow": 1.4, "lrr": 0.1, "gmp": 0.3},
    **{"rigl": 0.35, "set": 0.6, "lamp": 0.4, "long-dense": -0.1, "small-dense": 1.8, "erk": 1.6},
}


Effects = Callable[[str, float, str], float]


def realistic(method: str, target: float, label: str) -> float:
    """The true gain (scale of the metric): slow, then steep; LTH lasts longest, random least."""
    kind = KINDS[label]
    unit = kind.spec.margin if kind.spec.margin is not None else 0.01
    rungs = np.log(1 - target) / np.log(0.8)
    loss = FRAGILITY.get(method, 1.0) * kind.wear * (rungs / 7) ** 3
    return float(unit * (0.15 - loss))


def no_effect(method: str, target: float, label: str) -> float:
    """Every ticket is truly equal to its dense twin."""
    return 0.0


def make_results(
    seed: int = 0,
    *,
    methods: tuple[str, ...] = ("random", "omp", "lth"),
    targets: tuple[float, ...] = (0.36, 0.5904, 0.7903, 0.8926, 0.945),
    seeds: int = 5,
    metrics: tuple[str, ...] = PANEL,
    effects: Effects = realistic,
    data: tuple[str, ...] = ("digits",),
    models: tuple[str, ...] = ("mlp",),
    examples: int = 2_000,
    failed: Mapping[Any, str] | None = None,
    collapsed: Collection[tuple[str, float]] = (),
    study: str = "synthetic",
    controls: Collection[str] = (),
    ladders: Mapping[str, tuple[float, ...]] | None = None,
    reached: Mapping[tuple[str, float], float] | None = None,
) -> Results:
    """A study drawn from ``seed``.

    Args:
        seed: Of every random number here.
        methods: Labels; titles are known for those in ``TITLES``.
        targets: The ladder.
        seeds: How many seeds of training.
        metrics: Labels out of ``kinds.KINDS``.
        effects: The true gain of (method, target, metric), in the metric's scale, more is better.
        data: Labels of the data sets, each with its own examples.
        models: Labels of the models.
        examples: Size of the test split.
        failed: (method, target, seed) to why the whole network failed, or with a metric's label
            behind it, why that reading failed or does not apply. The twin is ("dense", 0.0, seed).
        collapsed: (method, target) of the tickets with an empty layer.
        study: Its name.
        controls: Labels of the methods that are no contenders.
        ladders: Label of a method to its own ladder, where it has one.
        reached: (method, target) to the sparsity reached, where it is another.
    """
    own = dict.fromkeys(methods, targets) | dict(ladders or {})
    cells = [("dense", 0.0), *((m, t) for m in methods for t in own[m])]
    networks: list[Measured] = []
    for place in [(d, m) for d in data for m in models]:
        world = World(seed, place, examples)
        for method, target in cells:
            for k in range(seeds):
                readings, missing = {}, {}
                for label in metrics:
                    if KINDS[label].spec.scope == "pair" and method == "dense":
                        continue
                    cell = (method, target, k)
                    why = (failed or {}).get(cell) or (failed or {}).get((*cell, label))
                    if why:
                        missing[label] = why
                        continue
                    gain = 0.0 if method == "dense" else effects(method, target, label)
                    readings[label] = world.read(label, method, target, k, gain)
                empty = ("fc2.weight",) if (method, target) in collapsed else ()
                sparsity = (reached or {}).get((method, target), target)
                networks.append(
                    _measured(
                        (*place, method, target, k), sparsity, metrics, readings, missing, empty
                    )
                )
    return Results(
        study=study,
        profile="default",
        text=f'name = "{study}"\nseeds = {seeds}\n',
        metrics={label: KINDS[label].spec for label in metrics},
        methods={method: TITLES.get(method, method) for method in methods},
        networks=tuple(networks),
        margins={
            label: margin for label in metrics if (margin := KINDS[label].spec.margin) is not None
        },
        controls=frozenset(controls),
    )


def everybody(seed: int = 0, **more: Any) -> Results:
    """Twenty methods at five sparsities: patterns, structures and controls among them."""
    targets = (0.36, 0.5904, 0.7903, 0.8926, 0.945)
    silent = {
        ("small-dense", t, k, "mask-overlap"): "not applicable: it has no mask"
        for t in targets
        for k in range(2)
    }
    options: dict[str, Any] = {
        "methods": CAST,
        "targets": targets,
        "seeds": 2,
        "metrics": (*PANEL, "mask-overlap"),
        "controls": CAST[-5:],
        "ladders": {"omp-2:4": (0.5,)},
        "reached": {
            **{("long-dense", t): 0.0 for t in targets},
            **{("channels", t): t - 0.012 for t in targets},
            **{("small-dense", t): t + 0.003 for t in targets},
        },
        "failed": silent,
        "collapsed": [("snip", 0.945), ("channels", 0.945)],
        "study": "everybody",
    }
    return make_results(seed, **(options | more))


def rows_2000() -> Results:
    """A big study: 250 networks with 8 metrics each."""
    return make_results(
        methods=("random", "omp", "lth", "snip"),
        targets=(0.36, 0.5904, 0.7903, 0.8926, 0.945, 0.9718),
        data=("digits", "shapes"),
        study="big",
    )


class World:
    """One data set and model: what its networks share (examples and resamples)."""

    def __init__(self, seed: int, place: tuple[str, str], examples: int) -> None:
        self.seed, self.place, self.n = seed, place, examples
        shared = numpy_stream(seed, *place, "shared")
        self.difficulty = shared.normal(size=examples)
        self.resample = shared.normal(size=REPLICATES)

    def read(self, label: str, method: str, target: float, k: int, gain: float) -> Reading:
        """A reading of ``label`` whose truth is ``gain`` better than the dense network's."""
        kind = KINDS[label]
        draw = numpy_stream(self.seed, *self.place, label, method, str(target), k)
        shift = (gain if kind.spec.better == "higher" else -gain) + kind.sd * draw.normal()
        log = kind.spec.scale == "log"
        truth = kind.dense * np.exp(shift) if log else kind.dense + shift
        return getattr(self, f"_{kind.sampled}")(kind, float(truth), draw)  # type: ignore[no-any-return]

    def _correct(self, kind: Kind, truth: float, draw: np.random.Generator) -> Reading:
        threshold = NormalDist().inv_cdf(min(max(truth, 1e-6), 1 - 1e-6))
        score = 0.9 * self.difficulty + np.sqrt(1 - 0.81) * draw.normal(size=self.n)
        values = (score < threshold).astype(np.float64)
        labels = np.arange(self.n) % CLASSES
        parts = {f"class {c}": _part(values[labels == c]) for c in range(CLASSES)}
        return _mean(values, parts)

    def _examples(self, kind: Kind, truth: float, draw: np.random.Generator) -> Reading:
        logs = 0.5 * self.difficulty + 0.2 * draw.normal(size=self.n)
        noise = np.exp(logs - (0.5**2 + 0.2**2) / 2) - 1  # mean 0, values stay positive
        log = kind.spec.scale == "log"
        return _mean(truth * (1 + noise) if log else truth + kind.dense * noise)

    def _replicates(self, kind: Kind, truth: float, draw: np.random.Generator) -> Reading:
        spread = 1.5 * kind.sd
        value = truth + 0.4 * spread * draw.normal()
        own = draw.normal(size=REPLICATES)
        replicates = value + spread * (0.9 * self.resample + 0.4 * own)
        stderr = float(replicates.std(ddof=1))
        return Reading(value, stderr, self.n, {"resamples": REPLICATES}, replicates=replicates)

    def _stderr(self, kind: Kind, truth: float, draw: np.random.Generator) -> Reading:
        return Reading(truth * float(np.exp(0.02 * draw.normal())), 0.02 * truth, 64)


def _part(values: np.ndarray) -> Part:
    return Part(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values))


def _mean(values: np.ndarray, parts: Mapping[str, Part] | None = None) -> Reading:
    whole = _part(values)
    return Reading(whole.value, whole.stderr, whole.n, {}, parts or {}, examples=values)


def _digest(*names: object) -> str:
    return hashlib.sha256("/".join(map(str, names)).encode()).hexdigest()[:32]


def _budgets(method: str, kept: int) -> Iterator[Budget]:
    images, flops = 1_437 * 20, 6.0 * kept
    rounds = {"lth": 5, "omp": 1}.get(method, 0)
    yield Budget(images, images / 1_000, images * flops, images * 2e-4)
    yield Budget(
        rounds * images,
        rounds * images / 1_000,
        rounds * images * 6.0 * PRUNABLE,
        rounds * images * 2e-4,
    )


def _measured(
    who: tuple[str, str, str, float, int],
    sparsity: float,
    metrics: tuple[str, ...],
    readings: Mapping[str, Reading],
    missing: Mapping[str, str],
    collapsed: tuple[str, ...],
) -> Measured:
    method = who[2]
    kept = PRUNABLE - round(sparsity * PRUNABLE)
    train, find = _budgets(method, kept)
    return Measured(
        network=Network(
            *who,
            weights=_digest(*who, "train"),
            mask=None if method == "dense" else _digest(*who, "mask"),
            measures={
                label: _digest(*who, label)
                for label in metrics
                if label in readings or label in missing
            },
        ),
        sparsity=(PRUNABLE - kept) / PRUNABLE,
        kept=kept,
        prunable=PRUNABLE,
        parameters=PRUNABLE + 510,
        collapsed=collapsed,
        readings=readings,
        missing=missing,
        train=train,
        find=find,
    )
