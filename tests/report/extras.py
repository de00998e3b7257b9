"""What a study may hold besides, for the tests of the page: pies, bins, pictures, large numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scratchcard.contracts import MetricSpec, Part, Reading
from scratchcard.contracts.corruptions import SEVERITIES, STANDARD
from scratchcard.metrics.calibration.binning import diagram
from scratchcard.metrics.generalisation.corruption_error import corruption_error
from scratchcard.probe import Predictions
from scratchcard.report.attack import SIGNS
from scratchcard.results import Cell, Picture, Results, Rung, Share, Together
from scratchcard.seeds import numpy_stream
from tests.kinds import spec

PIE = spec("pie", "PIEs", "fairness", needs=("all_logits", "all_dense_logits"))
ERROR = spec("corruption-error", "Corruption error", "generalisation")
CURVE = spec("robustness-curve", "Area under the robustness curve", "generalisation", "higher")
PLANE = spec("loss-plane", "Rise of the loss", "landscape", unit="")
REASONS = spec("explanation-agreement", "Agreement", "interpretability", "higher", unit="")
CONCEPTS = spec("concepts-kept", "Concepts kept", "interpretability", "higher")
MASKING = spec("gradient-masking", "Alarms of gradient masking", "generalisation", unit="")

Drawn = Mapping[str, np.ndarray]


def with_pies(results: Results, missing: Mapping[tuple[str, float], str] | None = None) -> Results:
    """A metric of all seeds together: 1 % at every rung, or why it is missing there."""
    together = {}
    for cell in results.groups:
        if cell.method != "dense":
            why = (missing or {}).get((cell.method, cell.target))
            readings = {} if why else {"pie": Reading(0.01, 0.002, 500)}
            together[cell] = Together(readings, {"pie": why} if why else {}, {"pie": "d" * 32})
    return replace(results, metrics={**results.metrics, "pie": PIE}, together=together)


def with_reading(results: Results, kind: MetricSpec, reading: Reading) -> Results:
    """A metric that reads the same of every network."""
    networks = tuple(
        replace(m, readings={**m.readings, kind.name: reading}) for m in results.networks
    )
    return replace(results, metrics={**results.metrics, kind.name: kind}, networks=networks)


def with_bins(results: Results) -> Results:
    """ECE with the bins of its diagram, over-confident networks with 15 of them."""
    networks = []
    for m in results.networks:
        draw = numpy_stream(m.network.seed, m.network.method, str(m.network.target))
        confidence = draw.uniform(0.2, 1, 400)
        parts = diagram(confidence, draw.uniform(size=400) < confidence - 0.1, 15)
        networks.append(
            replace(m, readings={**m.readings, "ece": replace(m.readings["ece"], parts=parts)})
        )
    return replace(results, networks=tuple(networks))


def with_pictures(results: Results, shape: tuple[int, int, int] = (3, 32, 32)) -> Results:
    """Twelve noisy pictures at every rung, which no format makes smaller."""
    draw = numpy_stream(0, "pictures")
    sheets = {
        Rung(*setting, cell.target): tuple(
            Picture(
                i, draw.integers(0, 256, shape, np.uint8), f"class {i}", Share(5, 5), Share(i, 45)
            )
            for i in range(12)
        )
        for setting in results.settings
        for cell in results.groups
        if cell.target
    }
    return replace(results, sheets=sheets)


def with_corruption(results: Results, images: int = 200) -> Results:
    """Errors under every corruption, in the order of the kinds, with what the metric makes of them.

    Dense networks err on 5 images more from kind to kind and from severity to severity, tickets on
    one more for every percent of sparsity.
    """
    networks = []
    for m in results.networks:
        extra = round(100 * m.network.target) + 3 * m.network.seed
        errors = {
            kind: tuple(_answers(5 * (row + s) + extra, images) for s in SEVERITIES)
            for row, kind in enumerate(STANDARD)
        }
        reading = corruption_error(errors)
        networks.append(replace(m, readings={**m.readings, "corruption-error": reading}))
    return replace(
        results, metrics={**results.metrics, "corruption-error": ERROR}, networks=tuple(networks)
    )


def _answers(wrong: int, images: int) -> Predictions:
    answers = (np.arange(images) < wrong).astype(np.int64)
    return Predictions(np.eye(2, dtype=np.float32)[answers], np.zeros(images, np.int64))


def with_attack(results: Results, alarms: Mapping[tuple[str, int], str] | None = None) -> Results:
    """Accuracy over three eps; ``alarms`` are the signs of masking by method and seed."""
    networks = []
    for m in results.networks:
        top = 0.8 - 0.2 * m.network.target + 0.02 * m.network.seed
        accuracies = {"eps 0": top, "eps 0.5/255": top / 2, "eps 2/255": 0.3 * top}
        parts = {name: Part(value, 0.01, 400) for name, value in accuracies.items()}
        parts |= {"median smallest eps": Part(0.4 / 255, 0.04 / 255, 400)}
        curve = Reading(0.4, 0.01, 400, parts=parts)
        shown = (alarms or {}).get((m.network.method, m.network.seed))
        signs = {sign: Part(0.3 if sign == shown else 0.01, 0.01, 400) for sign in SIGNS}
        masking = Reading(float(shown is not None), 0.0, 400, parts=signs)
        read = {**m.readings, "robustness-curve": curve, "gradient-masking": masking}
        networks.append(replace(m, readings=read))
    kinds = {kind.name: kind for kind in (CURVE, MASKING)}
    return replace(results, metrics={**results.metrics, **kinds}, networks=tuple(networks))


def with_planes(results: Results, sides: Mapping[str, float] | None = None) -> Results:
    """Slices of a loss that is ``exp(x)`` everywhere, of triangles of side 10 or as given."""
    networks = []
    for m in results.networks:
        side = (sides or {}).get(m.network.method, 10.0)
        corners = {"dense": (0.0, 0.0), "ticket": (side, 0.0), "third": (side / 2, side)}
        parts = {f"loss, {who}": Part(float(np.exp(x)), 0.1, 9) for who, (x, _) in corners.items()}
        parts |= {
            f"{axis}, {who}": Part(at, 0.0, 9)
            for who, c in corners.items()
            for axis, at in zip("xy", c, strict=True)
        }
        line = np.linspace(-0.2 * side, 1.2 * side, 5)
        parts |= {
            f"loss at {x:+.4f} {y:+.4f}": Part(float(np.exp(x)), 0.1, 9) for y in line for x in line
        }
        reading = Reading(0.5, 0.1, 9, parts=parts, params={"third": "random"})
        own = {} if m.network.method == "dense" else {"loss-plane": reading}
        networks.append(replace(m, readings={**m.readings, **own}))
    return replace(
        results, metrics={**results.metrics, "loss-plane": PLANE}, networks=tuple(networks)
    )


def with_explanations(results: Results, size: int = 8) -> Results:
    """Four images a method, each half for its class; the ticket's map is the dense one's half."""
    draw = numpy_stream(0, "explanations")
    dense = np.ones((4, size, size), np.float32)
    dense[:, :, size // 2 :] = -1
    pictures = {
        (cell, "explanation-agreement"): {
            "pixels": draw.integers(0, 256, (4, 3, size, size), np.uint8),
            "dense": dense,
            "sparse": dense / 2,
            "classes": np.arange(4),
            "cosines": np.array([-0.5, 0.0, 0.25, 1.0]),
        }
        for cell in results.groups
        if cell.target
    }
    made = with_reading(results, REASONS, Reading(0.2, 0.1, 9))
    return replace(made, pictures={**results.pictures, **pictures})


def units(concepts: Sequence[tuple[str, str]], ious: Sequence[tuple[float, float]]) -> Drawn:
    """Units with these concepts, dense and sparse, active on the left and on the right."""
    draw, shape = numpy_stream(0, "units"), (len(concepts), 2, 4, 8, 8)
    active = np.zeros(shape, bool)
    active[:, 0, :, :, :4] = active[:, 1, :, :, 4:] = True
    names = "\n".join(one for pair in concepts for one in pair)
    return {
        "units": np.arange(len(concepts)),
        "ious": np.array(ious),
        "pixels": draw.integers(0, 256, (len(concepts), 4, 3, 8, 8), np.uint8),
        "active": active,
        "named": active,
        "names": np.frombuffer(names.encode(), np.uint8),
    }


def with_units(results: Results, own: Mapping[str, Drawn] | None = None) -> Results:
    """One unit that stays red in every ticket, or other ones by method."""
    usual = units([("red", "red")], [(0.5, 0.25)])
    reading = Reading(1.0, 0.1, 9, params={"threshold": 0.04})
    pictures = {
        (cell, "concepts-kept"): (own or {}).get(cell.method, usual)
        for cell in results.groups
        if cell.target
    }
    made = with_reading(results, CONCEPTS, reading)
    return replace(made, pictures={**results.pictures, **pictures})


def cell(results: Results, method: str, target: float) -> Cell:
    """The cell of a method at a sparsity, of a study with one setting."""
    return Cell(*results.settings[0], method, target)
