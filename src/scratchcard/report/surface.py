"""Loss surfaces: the slice through dense twin, ticket and a third network, as contours."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from contourpy import FillType, contour_generator

from scratchcard.contracts import Reading
from scratchcard.report import parts, words
from scratchcard.report.cells import groups_of, named
from scratchcard.report.curves import targets
from scratchcard.report.numbers import MINUS
from scratchcard.results import Results

METRIC = "loss-plane"
BANDS = 9
FINE = 5
"""Steps that each step of the grid is drawn in."""
WIDTH = 1000
"""Of a drawing, in its own units."""
LEAST = 1e-6
"""What a logarithm makes of no loss at all."""
CORNERS = ("dense", "ticket", "third")
_PLACE = re.compile(r"loss at (\S+) (\S+)")


@dataclass(frozen=True, eq=False)
class Slice:
    """What was measured of one network: loss [P, P] over ``x`` and ``y``, and at the corners.

    Corners are x, y and loss by name.
    """

    method: str
    third: str
    rise: float
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    corners: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Corner:
    """A network in the plane, in units of the drawing; ``below`` says where its name has room."""

    kind: str
    x: int
    y: int
    loss: str
    below: bool
    anchor: str


@dataclass(frozen=True)
class Surface:
    """One method: bands from the lowest loss up, each lying on those before, and the corners."""

    title: str
    control: bool
    bands: tuple[str, ...]
    corners: tuple[Corner, ...]
    note: str
    words: str


@dataclass(frozen=True)
class Plot:
    """All methods of one rung, drawn alike.

    Attributes:
        heading: Setting and sparsity.
        rung: As the scorecards name it.
        height: In units of the drawing.
        surfaces: One a method.
        levels: The losses that part the bands.
        ruler: Units of the drawing that a distance of weights of ``distance`` is.
        distance: That.
        third: What the third network is.
    """

    heading: str
    rung: str
    height: int
    surfaces: tuple[Surface, ...]
    levels: tuple[str, ...]
    ruler: int
    distance: str
    third: str


def plots(results: Results) -> list[Plot]:
    """One for every rung of every setting where a slice was measured."""
    label = parts.label_of(results, METRIC)
    if label is None:
        return []
    found = []
    for target in targets(results):
        for setting in results.settings:
            slices = [
                _slice(cell.method, reading)
                for cell, members in groups_of(results, setting)
                if cell.target == target and (reading := members[0].readings.get(label))
            ]
            drawable = [one for one in slices if np.isfinite(one.loss).all()]
            if drawable:
                heading = filter(None, [named(setting, results), f"{words.percent(target)} sparse"])
                found.append(_plot(results, " · ".join(heading), f"{target:g}", drawable))
    return found


def _slice(method: str, reading: Reading) -> Slice:
    """The grid and the corners out of the parts of a reading."""
    grid = [
        (float(place[1]), float(place[2]), part.value)
        for name, part in reading.parts.items()
        if (place := _PLACE.fullmatch(name))
    ]
    places = np.array(sorted(grid, key=lambda point: (point[1], point[0])))
    side = math.isqrt(len(places))
    return Slice(
        method=method,
        third=str(reading.params.get("third", "third")),
        rise=reading.value,
        x=places[:side, 0],
        y=places[::side, 1],
        loss=places[:, 2].reshape(side, side),
        corners={
            name: (
                reading.parts[f"x, {name}"].value,
                reading.parts[f"y, {name}"].value,
                reading.parts[f"loss, {name}"].value,
            )
            for name in CORNERS
        },
    )


def _plot(results: Results, heading: str, rung: str, slices: Sequence[Slice]) -> Plot:
    """Slices of one rung: the same distances and the same colours in all."""
    low, high = (
        np.array([choose([own.x, own.y], axis=1) for own in slices]) for choose in (np.min, np.max)
    )
    left, bottom = low.min(axis=0)
    right, top = high.max(axis=0)
    scale = WIDTH / (right - left)
    losses = np.concatenate([own.loss.ravel() for own in slices])
    levels = np.geomspace(max(losses.min(), LEAST), max(losses.max(), 2 * LEAST), BANDS + 1)
    distance = _round((right - left) / 3)
    frame = _Frame(float(left), float(top), float(scale))
    return Plot(
        heading=heading,
        rung=rung,
        height=round((top - bottom) * scale),
        surfaces=tuple(_surface(results, own, levels, frame) for own in slices),
        levels=tuple(f"{level:.2g}" for level in levels),
        ruler=round(distance * scale),
        distance=f"{distance:g}",
        third=results.methods.get(slices[0].third, slices[0].third),
    )


@dataclass(frozen=True)
class _Frame:
    """From places in the plane to units of a drawing, whose y runs down."""

    left: float
    top: float
    scale: float

    def at(self, x: float, y: float) -> tuple[int, int]:
        return round((x - self.left) * self.scale), round((self.top - y) * self.scale)


def _round(number: float) -> float:
    """The next of 1, 2, 5, 10, ... below.

    >>> _round(7.3), _round(0.19)
    (5.0, 0.1)
    """
    power = 10.0 ** math.floor(math.log10(number))
    return float(f"{max(k for k in (1, 2, 5) if k * power <= number * (1 + 1e-9)) * power:g}")


def _surface(results: Results, own: Slice, levels: np.ndarray, frame: _Frame) -> Surface:
    corners = tuple(_corner(own, name, frame) for name in CORNERS)
    losses = [f"{own.corners[name][2]:.2f}" for name in CORNERS]
    title = results.methods[own.method]
    note = f"mean rise in the triangle {own.rise:+.2f}".replace("-", MINUS)
    third = results.methods.get(own.third, own.third)
    said = (
        f"Loss around {title}: {losses[0]} dense, {losses[1]} ticket, {losses[2]} {third}; {note}"
    )
    control = own.method in results.controls
    return Surface(title, control, tuple(_bands(own, levels, frame)), corners, note, said)


def _corner(own: Slice, name: str, frame: _Frame) -> Corner:
    x, y, loss = own.corners[name]
    anchor = {"dense": "start", "ticket": "end", "third": "middle"}[name]
    return Corner(name, *frame.at(x, y), f"{loss:.2f}", name != "third", anchor)


def _bands(own: Slice, levels: np.ndarray, frame: _Frame) -> Iterator[str]:
    """Where the loss is at least each level, as paths; the logarithm is interpolated by splines."""
    from scipy.interpolate import RectBivariateSpline

    order = min(3, len(own.x) - 1)
    heights = np.log(np.maximum(own.loss, LEAST))
    spline = RectBivariateSpline(own.y, own.x, heights, kx=order, ky=order)
    fine = FINE * (len(own.x) - 1) + 1
    x, y = (np.linspace(axis[0], axis[-1], fine) for axis in (own.x, own.y))
    z = spline(y, x).clip(heights.min(), heights.max())
    contours: Any = contour_generator(x, y, z, fill_type=FillType.OuterOffset)
    above = max(z.max(), np.log(levels[-1])) + 1
    for level in [z.min() - 1, *np.log(levels[1:-1])]:
        points, offsets = contours.filled(level, above)
        yield "".join(
            _path(polygon[a:b], frame)
            for polygon, ends in zip(points, offsets, strict=True)
            for a, b in pairwise(ends)
        )


def _path(points: np.ndarray, frame: _Frame) -> str:
    """A closed line, in steps from its first point."""
    places = [frame.at(x, y) for x, y in points[:-1]]
    moves = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(places)]
    rest = " ".join(f"{x} {y}" for x, y in moves if x or y).replace(" -", "-")
    return f"M{places[0][0]} {places[0][1]}l{rest}z" if rest else ""
