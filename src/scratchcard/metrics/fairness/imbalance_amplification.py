"""Whether rare classes pay more for pruning than frequent ones."""

from __future__ import annotations

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.data.base import Images
from scratchcard.metrics.fairness.by_class import check_twins, class_statistic
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import parts_by_class

THIRDS = ("head", "medium", "tail")
LEAST = 1.5
"""Ratio of the largest to the smallest class below which a training split counts as balanced."""


@metric(
    "imbalance-amplification",
    title="Gap of frequent and rare classes, widened",
    dimension="fairness",
    better="lower",
    caution=(
        "Below 0 may mean that the frequent classes were lost, not that the rare ones were saved: "
        "read the accuracies."
    ),
)
def imbalance_amplification(
    logits: Predictions, dense_logits: Predictions, train: Images
) -> Reading:
    """How much more accuracy the rare classes lose than the frequent ones.

    Definition:
        Classes are sorted by their number of training images, equal ones by their own number, and
        cut in three groups of as many classes each: head, medium and tail (of a remainder the
        first groups take one more). The accuracy of a group is the mean of the accuracies of its
        classes. The value is the gap between head and tail of the network less that of the dense
        twin. Parts are the accuracies of the three groups, of both networks. Classes without
        training images belong to no group, and those without test images are left out of theirs.

    Formula:
        a_G = mean_(k in G) 1/n_k sum_(i: y_i = k) [argmax_j z_ij = k];
        (a_head - a_tail) - (a_head^dense - a_tail^dense)

    Motivation:
        Compressed networks were found to lose most on what is rare in their training set, and
        balanced benchmarks cannot show it.

    Advantages:
        Paired image by image; how hard the classes of a group are cancels in the difference to the
        dense twin, and so does a loss that all classes share.

    Limitations:
        A tail that the dense network does not know at all has nothing to lose, and the value turns
        negative. Where the tail is made by ``imbalance``, rare classes are always the last ones.
        Classes of one size may be put in different groups. One pair of networks: retraining alone
        moves rare classes, which few images teach. The standard error is a bootstrap within
        classes, since the sizes of the test classes are chosen and not drawn; of classes with a
        handful of test images it is too small.

    Source:
        Ours in this form; Hooker et al., "Characterising Bias in Compressed Models", 2020, for the
        loss on rare attributes; groups by frequency as in Liu et al., "Large-Scale Long-Tailed
        Recognition in an Open World", CVPR 2019 (there by fixed numbers of images).

    Args:
        logits: Predictions on the test split.
        dense_logits: Those of the dense twin.
        train: The training split, for the sizes of its classes.

    Raises:
        NotApplicable: The training split is balanced (its largest class is less than 1.5 times
            its smallest), it has fewer than three classes, or a group has no test images.
        ValueError: They are not predictions on the same images, or train has other classes.

    >>> import torch
    >>> train = Images(torch.zeros(6, 1, 1, 1), torch.tensor([0, 0, 0, 1, 1, 2]))
    >>> dense = Predictions(np.eye(3)[[0, 0, 1, 1, 2, 2]], np.repeat([0, 1, 2], 2))
    >>> ticket = Predictions(np.eye(3)[[0, 0, 1, 1, 1, 1]], dense.labels)
    >>> imbalance_amplification(ticket, dense, train).value
    1.0
    """
    check_twins(logits, dense_logits)
    sizes = np.bincount(train.labels.cpu().numpy(), minlength=logits.classes)
    if len(sizes) > logits.classes:
        raise ValueError(
            f"train has the class {len(sizes) - 1}, but the network tells {logits.classes} classes"
        )
    groups = _tested(_thirds(sizes), logits.labels)
    parts = {
        f"{name}{whose}": _accuracy(network, group)
        for whose, network in (("", logits), (", dense", dense_logits))
        for name, group in zip(THIRDS, groups, strict=True)
    }
    head, _, tail = (np.isin(np.unique(logits.labels), group) for group in groups)
    weights = head / head.sum() - tail / tail.sum()
    change = logits.correct.astype(np.float64) - dense_logits.correct
    return class_statistic(lambda means: float(weights @ means), change, logits.labels, parts=parts)


def _thirds(sizes: np.ndarray) -> list[np.ndarray]:
    """Class numbers of head, medium and tail."""
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    if len(order) < 3:
        raise NotApplicable(
            f"because frequent, medium and rare classes take three, and training has {len(order)}"
        )
    largest, smallest = sizes[order[0]], sizes[order[-1]]
    if largest < LEAST * smallest:
        raise NotApplicable(
            f"because the training split is balanced ({smallest:,} to {largest:,} images a "
            "class); imbalance = 100 in the data table makes it long-tailed"
        )
    return np.array_split(order, 3)


def _tested(groups: list[np.ndarray], labels: np.ndarray) -> list[np.ndarray]:
    """The classes of each group that have test images."""
    tested = [np.intersect1d(group, labels) for group in groups]
    for name, group in zip(THIRDS, tested, strict=True):
        if not len(group):
            raise NotApplicable(f"because no class of the {name} has test images")
    return tested


def _accuracy(network: Predictions, group: np.ndarray) -> Part:
    """Mean over the classes of a group."""
    own = np.isin(network.labels, group)
    found = parts_by_class(network.correct[own], network.labels[own]).values()
    value = float(np.mean([part.value for part in found]))
    error = float(np.sqrt(np.sum([part.stderr**2 for part in found])) / len(group))
    return Part(value, error, int(own.sum()))
