"""How sure a network is of an image, in four ways, and what tells test images from foreign ones.

The ways are options of the metrics beside this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.probe import Predictions
from scratchcard.stats import statistic_reading

Score = Literal["max-softmax", "max-logit", "energy", "entropy"]
"""How sureness is told from logits; the paper's is the first."""

Separation = Callable[[np.ndarray, np.ndarray], float]
"""Of counts of the surer kind and of the other kind of images [R], at each score, rising."""


def sureness(logits: np.ndarray, score: Score) -> np.ndarray:
    """How sure a network is, float64 [N], of logits [N, K]; only the order means something.

    Raises:
        UserError: An unknown score.

    >>> z = np.array([[3.0, 1.0], [2.0, -2.0]])
    >>> sureness(z, "max-logit").tolist(), sureness(z, "max-softmax").tolist()
    ([3.0, 2.0], [2.0, 4.0])
    """
    if score not in get_args(Score):
        known = ", ".join(f'"{name}"' for name in get_args(Score))
        raise UserError(f'score must be one of {known}, not "{score}"')
    if score == "max-softmax":
        return log_odds(logits)
    if score == "max-logit":
        return np.asarray(logits.max(axis=1).astype(np.float64))
    if score == "energy":
        return _log_sum_exp(logits.astype(np.float64))
    return -log_entropy(logits)


def log_odds(logits: np.ndarray) -> np.ndarray:
    """The confidence p as log p/(1 - p), float64 [N], of logits [N, K]."""
    z = logits.astype(np.float64)
    rows, top = np.arange(len(z)), z.argmax(axis=1)
    largest = z[rows, top]
    z[rows, top] = -np.inf
    return np.asarray(largest - _log_sum_exp(z))


def log_entropy(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the entropy of softmax, float64 [N], of logits [N, K].

    The entropy itself would be 0, and tied, wherever one logit leads by more than 745.
    """
    z = np.sort(logits.astype(np.float64), axis=1)
    lead = log_odds(logits)
    top = -np.logaddexp(0, -lead)
    near = np.minimum(lead, 40)  # beyond it -log p of the top class is exp(-lead) to the last bit
    surprise = np.log(np.logaddexp(0, -near)) - (lead - near)
    others = z[:, :-1] - z[:, -1:] + top[:, None]
    return _log_sum_exp(np.column_stack([others + np.log(-others), top + surprise]))


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    """Of float64 rows [N, K], without overflow."""
    largest = z.max(axis=1)
    return np.asarray(largest + np.log(np.exp(z - largest[:, None]).sum(axis=1)))


def compare(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
    score: Score,
    separation: Separation,
    *,
    parts: Mapping[str, Part] | None = None,
) -> Reading:
    """What ``separation`` makes of the test images and each foreign set, and the mean over sets.

    Args:
        logits: Predictions on the test split.
        ood_logits: Name of each foreign set to its logits [M, K].
        ood_classes: Name of some foreign sets to the classes that they are told from: only test
            images of these classes and only these logits count.
        score: How sureness is told.
        separation: The statistic; test images are the surer kind.
        parts: Components known beforehand.

    Returns:
        A reading with a part for every set, over resamples of test and foreign images. Test
        images are resampled among those that belong to the same sets' classes, so that none of
        these is ever without.

    Raises:
        ValueError: No foreign set, an empty one, or logits that are not finite.
        UserError: An unknown score, or classes that the network does not tell.
        NotApplicable: No test image is of the classes that a foreign set is told from.
    """
    _check(logits, ood_logits, ood_classes)
    ood_logits = dict(sorted(ood_logits.items()))  # the bootstrap must not depend on their order
    n = len(logits)
    inside = {name: np.ones(n, dtype=bool) for name in ood_logits}
    for name, classes in ood_classes.items():
        inside[name] = np.isin(logits.labels, classes)
        if not inside[name].any():
            raise NotApplicable(f'no test image is of the classes that "{name}" is told from')
    ranks = {}
    for name, foreign in ood_logits.items():
        own, columns = logits.logits, sorted(set(ood_classes.get(name, range(logits.classes))))
        if len(columns) < logits.classes:
            own, foreign = own[:, columns], foreign[:, columns]
        ranks[name] = _ranks(sureness(own, score), sureness(foreign, score))
    order, groups = _groups(np.stack(list(inside.values())))
    sizes = {name: len(foreign) for name, foreign in ood_logits.items()}
    starts = np.cumsum([n, *sizes.values()])[:-1]

    def statistic(index: np.ndarray) -> np.ndarray:
        drawn, found = order[index[:n]], []
        for (name, size), start in zip(sizes.items(), starts, strict=True):
            mine, theirs = ranks[name]
            own = mine[drawn[inside[name][drawn]]]
            found.append(separation(*_counts(own, theirs[index[start : start + size] - start])))
        return np.array(found)

    return statistic_reading(statistic, [*groups, *sizes.values()], components=sizes, parts=parts)


def _check(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse sets and rules that nothing can be told from."""
    if not ood_logits:
        raise ValueError("this metric needs at least one out-of-distribution set")
    for name, foreign in ood_logits.items():
        if foreign.ndim != 2 or not len(foreign) or foreign.shape[1] != logits.classes:
            raise ValueError(f'set "{name}": logits {foreign.shape}, not [M, {logits.classes}]')
        if not np.isfinite(foreign).all():
            raise ValueError(f'set "{name}": some logits are infinite or not a number')
    for name, classes in ood_classes.items():
        if name not in ood_logits:
            raise UserError(
                f'there are classes to tell "{name}" from, but no such set '
                f"(there are: {', '.join(ood_logits)})"
            )
        if len(set(classes)) < 2:
            raise UserError(
                f'set "{name}" is told from the classes {list(classes)}: take 2 or more'
            )
        strange = [k for k in classes if not 0 <= k < logits.classes]
        if strange:
            raise UserError(
                f'set "{name}" is told from class {strange[0]}, but the network tells '
                f"{logits.classes} classes, 0 to {logits.classes - 1}"
            )


def _groups(inside: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Images sorted by the sets that they count for, and how many count for the same.

    Args:
        inside: Which images count for which set, bool [S, N].

    >>> order, sizes = _groups(np.array([[True, True, True], [True, False, True]]))
    >>> order.tolist(), sizes
    ([1, 0, 2], [1, 2])
    """
    group = np.unique(inside, axis=1, return_inverse=True)[1].ravel()
    return np.argsort(group, kind="stable"), np.bincount(group).tolist()


def foreign_first(
    logits: Predictions,
    ood_logits: Mapping[str, np.ndarray],
    ood_classes: Mapping[str, tuple[int, ...]],
    score: Score,
    separation: Separation,
) -> dict[str, Part]:
    """Parts of the other convention: foreign images are what is to be found."""

    def turned(own: np.ndarray, foreign: np.ndarray) -> float:
        return separation(foreign[::-1], own[::-1])

    reading = compare(logits, ood_logits, ood_classes, score, turned)
    return {f"{name}, foreign positive": part for name, part in reading.parts.items()}


def tally(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of either kind have each score that occurs, scores rising.

    >>> [counts.tolist() for counts in tally(np.array([1.0, 2.0]), np.array([1.0, 0.0]))]
    [[0, 1, 1], [1, 1, 0]]
    """
    return _counts(*_ranks(inside, outside))


def _ranks(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense ranks in the union: sorted once, after which a resample costs only counting."""
    _, ranks = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    return ranks[: len(inside)], ranks[len(inside) :]


def _counts(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tallies of ranks, of one length."""
    length = max(inside.max(), outside.max()) + 1
    return np.bincount(inside, minlength=length), np.bincount(outside, minlength=length)
