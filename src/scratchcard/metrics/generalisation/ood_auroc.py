"""How well confidence tells test images from images of another kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchcard.contracts import Reading
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import statistic_reading


@metric(
    "ood-auroc",
    title="OoD ROC-AUC",
    dimension="generalisation",
    better="higher",
    headline=True,
    margin=0.01,
    caution="It judges one score, the confidence; other scores can order networks otherwise.",
)
def ood_auroc(logits: Predictions, ood_logits: Mapping[str, np.ndarray]) -> Reading:
    """Area under the ROC curve of telling test images from foreign ones by confidence.

    Definition:
        The chance that a random test image is more confident than a random foreign one, ties
        counting half; averaged over the foreign sets, which are the parts. Confidence is the
        largest softmax probability in the form of log-odds: the same order, without the ties
        that float32 makes of probabilities close to 1.

    Formula:
        s(x) = max_k z_k - log sum_(j != k) exp z_j;  AUROC = P(s_id > s_ood) + P(s_id = s_ood)/2

    Motivation:
        A network in use should be less sure of what it was never taught. Pruning changes the
        scale of the logits, and with it what is confident.

    Advantages:
        No threshold, 0.5 for blind guessing, unchanged by any increasing map of the score.

    Limitations:
        Sets that went through another pipeline (resizing, JPEG) are told apart trivially;
        overlapping classes cannot be. It says nothing of a good threshold.

    Source:
        Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
        Examples in Neural Networks", ICLR 2017.

    Args:
        logits: Predictions on the test split.
        ood_logits: Name of each foreign set to its logits [M, K].

    Raises:
        ValueError: No foreign set, an empty one, or logits that are not finite.

    >>> z = np.array([[3, 0], [2, 0]], np.float32)
    >>> ood_auroc(Predictions(z, np.array([0, 0])), {"noise": z - [[1, 0]]}).value
    0.875
    """
    if not ood_logits:
        raise ValueError("the OoD ROC-AUC needs at least one out-of-distribution set")
    for name, foreign in ood_logits.items():
        if foreign.ndim != 2 or not len(foreign) or foreign.shape[1] != logits.classes:
            raise ValueError(f'set "{name}": logits {foreign.shape}, not [M, {logits.classes}]')
        if not np.isfinite(foreign).all():
            raise ValueError(f'set "{name}": some logits are infinite or not a number')
    n = len(logits)
    own = log_odds(logits.logits)
    ranks = [_ranks(own, log_odds(foreign)) for foreign in ood_logits.values()]
    ends = np.cumsum([n, *(len(foreign) for foreign in ood_logits.values())])

    def statistic(index: np.ndarray) -> np.ndarray:
        return np.array(
            [
                _area(mine[index[:n]], theirs[index[start:end] - start])
                for (mine, theirs), start, end in zip(ranks, ends[:-1], ends[1:], strict=True)
            ]
        )

    sizes = {name: len(foreign) for name, foreign in ood_logits.items()}
    return statistic_reading(statistic, [n, *sizes.values()], components=sizes)


def log_odds(logits: np.ndarray) -> np.ndarray:
    """The confidence p as log p/(1 - p), float64 [N], of logits [N, K]."""
    z = logits.astype(np.float64)
    rows, top = np.arange(len(z)), z.argmax(axis=1)
    largest = z[rows, top]
    z[rows, top] = -np.inf
    second = z.max(axis=1)
    others = second + np.log(np.exp(z - second[:, None]).sum(axis=1))
    return np.asarray(largest - others)


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Mann-Whitney with mid-ranks: P(inside > outside) + P(equal)/2.

    >>> auroc(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    0.875
    """
    return _area(*_ranks(inside, outside))


def _ranks(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dense ranks in the union: sorted once, after which a resample costs only counting."""
    _, ranks = np.unique(np.concatenate([inside, outside]), return_inverse=True)
    return ranks[: len(inside)], ranks[len(inside) :]


def _area(inside: np.ndarray, outside: np.ndarray) -> float:
    """The AUROC from ranks; twice the wins are integers, so it is exact."""
    ranks = max(inside.max(), outside.max()) + 1
    mine = np.bincount(inside, minlength=ranks)
    theirs = np.bincount(outside, minlength=ranks)
    wins = mine @ (2 * np.cumsum(theirs) - theirs)
    return float(wins / (2 * len(inside) * len(outside)))
