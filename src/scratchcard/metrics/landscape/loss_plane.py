"""A slice of the loss through dense twin, ticket and re-initialised ticket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.connectivity_barrier import check_alike
from scratchcard.metrics.landscape.walking import (
    Walker,
    losses,
    predictions,
    re_estimate,
    sample,
)
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading

MARGIN = 0.2
"""How far the grid reaches beyond the triangle, as a share of its width and height."""


@metric(
    "loss-plane",
    title="Rise of the loss between networks",
    dimension="landscape",
    better="lower",
    unit="",
    costly=True,
    caution="One plane of very many dimensions: what lies beside it is not seen.",
)
def loss_plane(
    model: nn.Module,
    dense_model: nn.Module,
    other_models: Mapping[str, nn.Module],
    train: Images,
    test: Images,
    *,
    third: str = "reinitialised",
    points: int = 9,
    images: int = 200,
    statistics: int = 500,
    batch_size: int = 128,
) -> Reading:
    """How far the test loss rises inside the triangle of dense, ticket and re-initialised ticket.

    Definition:
        The three networks span a plane: x runs from the dense twin through the ticket, y at a
        right angle to it towards the third, in units of the distance of weights. The loss is
        taken on a square grid over the triangle and a margin, BatchNorm's statistics being
        averages over training images at every point. The value is the mean over the grid points
        inside the triangle of the loss less its interpolation between the corners. The parts are
        the losses at the corners, their coordinates and the losses of the grid: the picture.

    Formula:
        mean over p in the triangle of L(p) - sum_i b_i(p) L(corner i), b barycentric coordinates

    Motivation:
        A picture of where a ticket lies: in the basin of its dense twin, with a ticket that
        began elsewhere behind a ridge, or not.

    Advantages:
        The axes have the same unit for all methods; one number says how high the ridge is.

    Limitations:
        A plane is very little of the space, and three corners are always in one. Weights that
        are scaled without changing the function move the corners. BatchNorm's statistics are of
        few images.

    Source:
        Garipov et al., "Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs", NeurIPS
        2018 (planes through three networks); BatchNorm as in Izmailov et al., UAI 2018.

    Args:
        model: The ticket; it is left as it is.
        dense_model: Its dense twin.
        other_models: The tickets of other methods, the third among them.
        train: Images of the training split, not augmented, for BatchNorm.
        test: Images of the test split.
        third: Label of the method whose ticket is the third corner: by default the control that
            trains another method's mask from new weights.
        points: On each side of the grid, 3 or more.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        statistics: How many training images BatchNorm's statistics are taken of; 0 for all.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The study has no such control, or the networks are of different shapes.
        UserError: Fewer than 3 points.
    """
    if points < 3:
        raise UserError(f"points = {points}, but a grid needs 3 or more on each side")
    if third not in other_models:
        raise NotApplicable(
            f'because there is no ticket of a method labelled "{third}" beside it: the corner '
            "that is missing"
        )
    walker, seen, calm = Walker.of(model), sample(test, images), sample(train, statistics)
    few = sample(test, min(8, len(test)))
    for other in (dense_model, other_models[third]):
        check_alike(walker, other, few)
    plane = _Plane.through(
        *(weights(net) for net in (dense_model, walker.network, other_models[third]))
    )

    def at(where: tuple[float, float]) -> np.ndarray:
        with walker.at(plane.at(*where)) as network:
            re_estimate(network, calm.pixels)
            return losses(predictions(network, seen, batch_size))

    grid = plane.grid(points)
    return _reading(
        plane, grid, np.stack([at(where) for where in (*plane.corners, *map(tuple, grid))])
    )


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Its parameters as they are; BatchNorm's statistics are no place in the plane."""
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@dataclass(frozen=True, eq=False)
class _Plane:
    """A plane through three sets of weights.

    Attributes:
        origin: The first, by name.
        x: The unit vector to the second.
        y: The unit vector at a right angle to it, on the side of the third.
        corners: Coordinates of the three.
    """

    origin: Mapping[str, Tensor]
    x: Mapping[str, Tensor]
    y: Mapping[str, Tensor]
    corners: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

    @classmethod
    def through(
        cls, one: Mapping[str, Tensor], two: Mapping[str, Tensor], three: Mapping[str, Tensor]
    ) -> _Plane:
        """The plane through three points.

        Raises:
            NotApplicable: They lie on a line.
        """
        along = {name: (two[name] - t).double() for name, t in one.items()}
        away = {name: (three[name] - t).double() for name, t in one.items()}
        width = _dot(along, along) ** 0.5
        if not width:
            raise NotApplicable("because the ticket is its dense twin: they span no plane")
        x = {name: t / width for name, t in along.items()}
        shift = _dot(away, x)
        y = {name: t - shift * x[name] for name, t in away.items()}
        height = _dot(y, y) ** 0.5
        if height <= 1e-6 * width:
            raise NotApplicable("because the three networks lie on a line: they span no plane")
        y = {name: t / height for name, t in y.items()}
        return cls(one, x, y, ((0.0, 0.0), (width, 0.0), (shift, height)))

    def at(self, x: float, y: float) -> dict[str, Tensor]:
        """The weights at a point."""
        return {
            name: (t + x * self.x[name] + y * self.y[name]).to(t.dtype)
            for name, t in self.origin.items()
        }

    def grid(self, points: int) -> np.ndarray:
        """Points [P * P, 2] over the triangle and its margin, x the fastest."""
        corners = np.array(self.corners)
        low, high = corners.min(axis=0), corners.max(axis=0)
        reach = MARGIN * (high - low)
        xs, ys = (np.linspace(a, b, points) for a, b in zip(low - reach, high + reach, strict=True))
        return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)

    def shares(self, grid: np.ndarray) -> np.ndarray:
        """Barycentric coordinates [P, 3] of points."""
        corners = np.column_stack([np.array(self.corners), np.ones(3)])
        return np.asarray(np.column_stack([grid, np.ones(len(grid))]) @ np.linalg.inv(corners))


def _dot(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return sum(float(torch.sum(one[name] * t)) for name, t in other.items())


def _reading(plane: _Plane, grid: np.ndarray, found: np.ndarray) -> Reading:
    """From the losses [3 + P, N] at the corners and on the grid."""
    shares = plane.shares(grid)
    inside = (shares >= 0).all(axis=1)
    if not inside.any():
        raise NotApplicable("because no point of the grid lies in the triangle: take more points")
    n = len(found[0])

    def statistic(index: np.ndarray) -> np.ndarray:
        means = found @ (np.bincount(index, minlength=n) / n)
        rise = means[3:][inside] - shares[inside] @ means[:3]
        return np.concatenate([[rise.mean()], means])

    corners = ("dense", "ticket", "third")
    labels = ["rise", *(f"loss, {corner}" for corner in corners)]
    labels += [f"loss at {x:+.4f} {y:+.4f}" for x, y in grid]
    places = {
        f"{axis}, {corner}": Part(value, 0.0, n)
        for corner, where in zip(corners, plane.corners, strict=True)
        for axis, value in zip("xy", where, strict=True)
    }
    sizes = dict.fromkeys(labels, n)
    return statistic_reading(statistic, [n], components=sizes, first=True, parts=places)
