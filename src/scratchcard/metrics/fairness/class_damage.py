"""Which classes pay for pruning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scratchcard.contracts import Part, Reading
from scratchcard.metrics.fairness.by_class import check_twins, class_statistic
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.seeds import numpy_stream
from scratchcard.stats import RESAMPLES, parts_by_class


@metric(
    "class-damage",
    title="Largest relative loss of a class",
    dimension="fairness",
    better="lower",
    caution=(
        "The largest of many noisy numbers is above 0 even if no class is hurt more than another: "
        "read it with the part p."
    ),
)
def class_damage(logits: Predictions, dense_logits: Predictions) -> Reading:
    """How much more accuracy the worst-hit class loses than the test set as a whole.

    Definition:
        A part for each class is the change of its accuracy, from the dense twin to the network,
        less the change of the accuracy over all images; below 0 the class pays more than its
        share. The value is the largest loss so counted, 0 or more. The part "p" is the chance of
        so large a one if the same changes had fallen on images of any class: labels shuffled 400
        times. Classes without images are left out.

    Formula:
        d_k = (a_k - a_k^dense) - (a - a^dense);  value = max_k -d_k;
        var d_k = (1 - w_k)^2 v_k + sum_(j != k) w_j^2 v_j,  w_k = n_k/N, v_k = var_k(change)/n_k

    Motivation:
        Compressed networks of nearly the same accuracy were found to cannibalise a few classes
        for the sake of the others.

    Advantages:
        Paired image by image; a loss that all classes share cancels; parts of both signs.

    Limitations:
        Selected, hence biased upwards, and its standard error leaves that out. One pair of
        networks: retraining alone moves classes, and Hooker et al. compare 30 networks with a
        t-test for each class. A class at 0 has nothing to lose. With unequal class sizes the
        change over all images is that of the large classes.

    Source:
        Hooker et al., "What Do Compressed Deep Neural Networks Forget?", 2019 (the relative change
        of a class's recall), and "Characterising Bias in Compressed Models", 2020.

    Args:
        logits: Predictions on the test split.
        dense_logits: Those of the dense twin.

    Raises:
        ValueError: They are not predictions on the same images.
        NotApplicable: All images are of one class.

    >>> z = np.array([[2, 0], [2, 0], [0, 2], [0, 2]], np.float32)
    >>> dense = Predictions(z, np.array([0, 0, 1, 1]))
    >>> reading = class_damage(Predictions(z[[0, 1, 2, 0]], dense.labels), dense)
    >>> reading.value, reading.parts["class 0"].value, reading.parts["class 1"].value
    (0.25, 0.25, -0.25)
    """
    check_twins(logits, dense_logits)
    labels = logits.labels
    change = logits.correct.astype(np.float64) - dense_logits.correct
    _, sizes = np.unique(labels, return_counts=True)

    def loss(means: np.ndarray) -> float:
        return float((sizes @ means / len(labels) - means).max())

    parts = _relative(parts_by_class(change, labels), sizes / len(labels))
    chance = {"p": _chance(loss, change, labels)}
    return class_statistic(loss, change, labels, parts=chance | parts)


def _chance(loss: Callable[[np.ndarray], float], change: np.ndarray, labels: np.ndarray) -> Part:
    """How often shuffled changes bring so large a loss; as they are they count as one shuffle."""
    _, place, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    stream = numpy_stream(0, "class-damage", len(labels))

    def one(changes: np.ndarray) -> float:
        return loss(np.bincount(place, changes) / sizes)

    least = one(change) - 1e-12  # equal losses must not differ by rounding
    reached = [one(stream.permutation(change)) >= least for _ in range(RESAMPLES)]
    p = (1 + sum(reached)) / (1 + RESAMPLES)
    return Part(p, float(np.sqrt(p * (1 - p) / RESAMPLES)), len(labels))


def _relative(own: dict[str, Part], weights: np.ndarray) -> dict[str, Part]:
    """Changes of classes, less that of the whole set, of which each class is a part."""
    means, variances = np.array([(part.value, part.stderr**2) for part in own.values()]).T
    relative = means - weights @ means
    spread = np.sqrt(weights**2 @ variances + (1 - 2 * weights) * variances)
    return {
        label: Part(float(value), float(error), part.n)
        for (label, part), value, error in zip(own.items(), relative, spread, strict=True)
    }
