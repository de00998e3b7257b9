"""Linear mode connectivity: the barrier on the straight line from the dense twin to the ticket."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.landscape.walking import (
    Walker,
    batch_norms,
    losses,
    predictions,
    re_estimate,
    sample,
    state,
)
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "connectivity-barrier",
    title="Connectivity barrier",
    dimension="landscape",
    better="lower",
    unit="fraction",
    costly=True,
    caution=(
        "The highest of several noisy points: on few images above 0 without any barrier. A ticket "
        "near its twin has none, whatever it is worth."
    ),
)
def connectivity_barrier(
    model: nn.Module,
    dense_model: nn.Module,
    train: Images,
    test: Images,
    *,
    points: int = 11,
    images: int = 1000,
    statistics: int = 2000,
    batch_size: int = 128,
) -> Reading:
    """How far the test error rises above its ends on the straight line from dense to sparse.

    Definition:
        Weights are mixed at evenly spaced points of the line, weights that are cut being zero at
        its end. At every point, the ends too, BatchNorm's statistics are averages over training
        images, since those of a mixture are not the mixture of those. The value is the largest
        rise of the error (share of wrong answers) over the straight line between its values at
        the ends, and 0 if there is none. The parts are that and the "barrier, loss", the errors
        and losses at every point ("error at 0.30", 0 the dense twin, 1 the ticket), and, of a
        network with BatchNorm, the same "as it is": with the statistics mixed like the weights.

    Formula:
        max(0, max over a of E(a) - (1 - a) E(0) - a E(1)), E(a) the error of (1 - a) w_0 + a w_1

    Motivation:
        A ticket that is joined to its twin without a barrier found the same basin of the loss.
        Subnetworks are matching where training them is stable in this sense.

    Advantages:
        Each image is seen at every point and by both networks, so that the error bar is of
        paired differences. It needs no scale: it is a share of images.

    Limitations:
        Independent runs have barriers that a permutation of hidden units takes away; a twin and
        its ticket start alike, so that none is sought. The highest of noisy points is biased
        upwards, and the bootstrap a little more. Between points the line may be higher. What it
        is called with as the dense twin may be any network of the same shape: another round, seed
        or method.

    Source:
        Frankle et al., "Linear Mode Connectivity and the Lottery Ticket Hypothesis", ICML 2020
        (unstable above 2 %); BatchNorm as in Izmailov et al., "Averaging Weights Leads to Wider
        Optima and Better Generalization", UAI 2018.

    Args:
        model: The sparse network; it is left as it is.
        dense_model: Its dense twin; likewise.
        train: Images of the training split, not augmented, for BatchNorm.
        test: Images of the test split.
        points: On the line, with its ends; 3 or more.
        images: Take only so many, drawn class by class, the same for every network; 0 for all.
        statistics: How many training images BatchNorm's statistics are taken of; 0 for all.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: The networks are not of one architecture, as after removing channels.
    """
    if points < 3:
        raise UserError(f"points = {points}, but a line between two ends needs 3 or more")
    walker = Walker.of(model)
    start, seen, calm = state(dense_model), sample(test, images), sample(train, statistics)
    check_alike(walker, dense_model, sample(test, min(8, len(test))))
    curves: dict[str, list[Predictions]] = defaultdict(list)
    line = np.linspace(0, 1, points)
    for a in line:
        with walker.at(_mixed(start, walker.home, float(a))) as network:
            as_it_is = predictions(network, seen, batch_size)
            if batch_norms(network):
                re_estimate(network, calm.pixels)
                curves[""].append(predictions(network, seen, batch_size))
                curves[", as it is"].append(as_it_is)
            else:
                curves[""].append(as_it_is)
    return _reading(line, curves)


def check_alike(walker: Walker, dense_model: nn.Module, few: Images) -> None:
    """That the ticket's code with the twin's weights is the twin."""
    here, there = walker.home, state(dense_model)
    shapes = [{name: tuple(t.shape) for name, t in side.items()} for side in (here, there)]
    if shapes[0] != shapes[1]:
        raise NotApplicable("because the two networks have weights of other shapes: no line")
    with walker.at(there) as network:
        found = predictions(network, few, len(few)).logits
    wanted = predictions(dense_model, few, len(few)).logits
    if not np.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(np.abs(wanted).max())):
        raise NotApplicable("because, given the same weights, the two networks answer differently")


def _mixed(start: Mapping[str, Tensor], end: Mapping[str, Tensor], a: float) -> dict[str, Tensor]:
    """The point at a share of the way; where both ends are equal, exactly that."""
    return {name: torch.lerp(start[name].detach().to(t), t, a) for name, t in end.items()}


def _reading(line: np.ndarray, curves: dict[str, list[Predictions]]) -> Reading:
    """Barriers and curves on common resamples of the images."""
    scores = {
        (kind, suffix): np.stack([of(point) for point in points])
        for suffix, points in curves.items()
        for kind, of in (("error", _wrong), ("loss", losses))
    }
    values = np.stack(list(scores.values()))  # [curves, points, N]
    n = len(values[0, 0])

    def statistic(index: np.ndarray) -> np.ndarray:
        # No product of matrices: it would add equal rows up in different orders.
        means = (values * np.bincount(index, minlength=n)).sum(axis=-1) / n
        return np.concatenate([_barriers(line, means), means.ravel()])

    names = [f"barrier, {kind}{suffix}" for kind, suffix in scores]
    names += [f"{kind} at {a:.2f}{suffix}" for kind, suffix in scores for a in line]
    return statistic_reading(statistic, [n], components=dict.fromkeys(names, n), first=True)


def _wrong(found: Predictions) -> np.ndarray:
    return np.asarray(1.0 - found.correct)


def _barriers(line: np.ndarray, means: np.ndarray) -> np.ndarray:
    """The largest rise of each curve [S, P] over the straight line between its ends, [S].

    >>> _barriers(np.array([0, 0.5, 1]), np.array([[1.0, 3.0, 2.0], [1.0, 1.0, 2.0]])).tolist()
    [1.5, 0.0]
    """
    first, last = means[:, :1], means[:, -1:]
    rise = means - (first + line * (last - first))
    return np.asarray(np.maximum(rise[:, 1:-1].max(axis=1), 0))
