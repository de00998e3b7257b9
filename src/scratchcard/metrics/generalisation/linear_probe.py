"""Transfer: what a linear classifier makes of frozen features on other data sets."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.data.base import Images
from scratchcard.metrics.attacks.checks import check_counts
from scratchcard.metrics.features import Backbone
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading

DEAD = 1e-6
"""A spread of at most this share of the largest feature is float32's rounding, and no feature."""


@metric(
    "linear-probe",
    title="Linear probe",
    dimension="generalisation",
    better="higher",
    costly=True,
    caution="It speaks of the features, not of the network's own classes; see also dead features.",
    version=2,
)
def linear_probe(
    model: nn.Module,
    transfer: Mapping[str, tuple[Images, Images]],
    *,
    l2: tuple[float, ...] = (0.1, 0.01, 0.001, 0.0001),
    batch_size: int = 512,
) -> Reading:
    """Accuracy of a linear classifier on the network's frozen features of another data set.

    Definition:
        Features are what the last layer reads: for a residual network the pooled channels, for a
        transformer the class token. On those of the training images, brought to mean 0 and
        variance 1, logistic regression is fitted to its optimum; the value is its accuracy on the
        test images, averaged over the data sets, and a part for each. A feature is dead if it
        does not vary over the training images (its standard deviation is at most 1e-6 of the
        largest feature): such are left out, and "set, dead features" is their share. If all are
        dead, what is left is the commonest class. "set, l2" is the penalty: the candidate with
        the least log loss on every fifth training image of each class, fitted on the others; then
        all images are fitted.

    Formula:
        min over W, b of 1/N sum_i -log softmax(W x_i + b)_(y_i) + l2/2 |W|^2;
        with two classes, W is the one vector between them.

    Motivation:
        A network is often wanted for what it has learnt to see. Tickets of equal accuracy on
        their own task can have lost features that others need.

    Advantages:
        Convex: one answer, with nothing to tune and no randomness; cheap next to fine-tuning.

    Limitations:
        Fine-tuning can revive what a linear classifier misses; the two rank networks otherwise.
        Some of it is what the pixels give away: measure a network of one Linear layer to know how
        much. Wider features fit more. The standard error is that of the test images; the training
        images are taken as they are. Features of all training images are held in memory, in
        float64.

    Source:
        Iofinova et al., "How Well Do Sparse ImageNet Models Transfer?", CVPR 2022; logistic
        regression as in Kornblith et al., "Do Better ImageNet Models Transfer Better?", CVPR 2019.

    Args:
        model: The network; it is left as it is.
        transfer: Name of each data set to its training and test images, of the network's shape.
        l2: Candidates for the penalty; a single one is taken without choosing.
        batch_size: Images per forward pass; it changes the time, not the answer.

    Raises:
        NotApplicable: There is no data set, or the network's output is not a Linear layer's.
        UserError: A penalty that is not above 0, or a set that cannot be used: without images, of
            one class, or (to choose a penalty) without a class of five training images.
    """
    check_counts(batch_size=batch_size)
    if not l2 or not all(0 < penalty < math.inf for penalty in l2):
        raise UserError(f"l2 = {list(l2)}, but must be one or more numbers above 0")
    if not transfer:
        raise NotApplicable("because no other data set was named to transfer to")
    for name, (train, test) in transfer.items():
        _check_set(name, train, test)
    transfer = dict(sorted(transfer.items()))  # the bootstrap must not depend on their order
    first, _ = next(iter(transfer.values()))
    backbone = Backbone.of(model, first.pixels)
    if not backbone.head.in_features:
        raise NotApplicable("because the network's last layer reads nothing: no feature is left")
    correct: list[np.ndarray] = []
    parts: dict[str, Part] = {}
    for name, (train, test) in transfer.items():
        seen, new = (backbone.features(s.pixels, batch_size=batch_size) for s in (train, test))
        alive = seen.std(axis=0, dtype=np.float64) > DEAD * np.abs(seen).max()
        y, truth = (s.labels.cpu().numpy() for s in (train, test))
        x, inner = _standardised(seen[:, alive], new[:, alive])
        if alive.any():
            penalty = _choose(name, x, y, l2)
            correct.append(fitted(x, y, penalty).predict(inner) == truth)
            parts[f"{name}, l2"] = Part(penalty, 0.0, len(y))
        else:
            correct.append(truth == np.bincount(y).argmax())
        parts[f"{name}, dead features"] = Part(1 - float(alive.mean()), 0.0, len(alive))
    return _over_sets(list(transfer), correct, parts)


def fitted(
    x: np.ndarray, y: np.ndarray, l2: float, start: LogisticRegression | None = None
) -> LogisticRegression:
    """Logistic regression at its optimum.

    Args:
        x: Features [N, D].
        y: Labels [N], two or more different ones.
        l2: The penalty, beside a loss that is averaged over images.
        start: Another fit to begin from; it is changed.

    Raises:
        ValueError: The optimum was not reached.
    """
    model = start or LogisticRegression(tol=1e-6, max_iter=10_000, warm_start=True)
    model.set_params(C=1 / (l2 * len(y)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return model.fit(x, y)
        except ConvergenceWarning as reason:
            raise ValueError(f"the linear probe did not converge with l2 = {l2}") from reason


def held_out(labels: np.ndarray) -> np.ndarray:
    """Whether an image is the fifth, tenth, ... of its class, in order [N].

    >>> held_out(np.array([7, 7, 7, 1, 7, 7])).tolist()
    [False, False, False, False, False, True]
    """
    order = np.argsort(labels, kind="stable")
    _, sizes = np.unique(labels, return_counts=True)
    rank = np.concatenate([np.arange(size) for size in sizes])
    fifth = np.empty(len(labels), dtype=bool)
    fifth[order] = rank % 5 == 4
    return fifth


def _choose(name: str, x: np.ndarray, y: np.ndarray, candidates: tuple[float, ...]) -> float:
    """The penalty with the least log loss on held-out images."""
    if len(candidates) == 1:
        return candidates[0]
    out = held_out(y)
    if not out.any():
        raise UserError(
            f'the transfer set "{name}" has no class of five training images to choose l2 by; '
            "give one number, such as l2 = [0.01]"
        )
    losses, model = {}, None
    for penalty in sorted(candidates, reverse=True):
        model = fitted(x[~out], y[~out], penalty, model)
        shown = model.predict_proba(x[out])
        losses[penalty] = log_loss(y[out], shown, labels=model.classes_)
    return min(losses, key=losses.__getitem__)


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64, moved and scaled so that the first has mean 0 and variance 1."""
    exact = train.astype(np.float64)
    mean, spread = exact.mean(axis=0), exact.std(axis=0)
    return (exact - mean) / spread, (test.astype(np.float64) - mean) / spread


def _check_set(name: str, train: Images, test: Images) -> None:
    if not len(train) or not len(test):
        raise UserError(f'the transfer set "{name}" lacks images to train or to test on')
    if bool((train.labels == train.labels[0]).all()):
        raise UserError(
            f'all training images of the transfer set "{name}" are of one class, '
            "but a classifier needs two"
        )


def _over_sets(names: list[str], correct: list[np.ndarray], parts: Mapping[str, Part]) -> Reading:
    """The mean of the sets' accuracies, with each set's images resampled among themselves."""
    sizes = [len(own) for own in correct]
    right, starts = np.concatenate(correct), np.cumsum([0, *sizes[:-1]])

    def accuracies(index: np.ndarray) -> np.ndarray:
        means: np.ndarray = np.add.reduceat(right[index].astype(np.float64), starts) / sizes
        return means

    components = dict(zip(names, sizes, strict=True))
    return statistic_reading(accuracies, sizes, components=components, parts=parts)
