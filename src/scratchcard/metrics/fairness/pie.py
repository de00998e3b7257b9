"""Images on which sparse networks and dense ones have come to say different things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scratchcard.contracts import NotApplicable, Part, Reading
from scratchcard.metrics.fairness.by_class import check_twins
from scratchcard.probe import Predictions
from scratchcard.registry import metric
from scratchcard.stats import mean_reading, parts_by_class


@metric(
    "pie",
    title="PIEs",
    dimension="fairness",
    better="lower",
    caution=(
        "Dense networks differ among themselves too: the two parts that compare halves of the "
        "seeds say how much of it is pruning's doing, and without them (fewer than four seeds) "
        "the number cannot be read."
    ),
)
def pie(
    all_logits: Mapping[int, Predictions], all_dense_logits: Mapping[int, Predictions]
) -> Reading:
    """Share of test images that the sparse networks mostly call otherwise than the dense ones.

    Definition:
        The modal prediction for an image is the class that most networks of different seeds say.
        Among classes with equally many votes it is the one with the largest mean log-probability
        over all the networks (among still equal ones the lowest number). An image is a
        pruning-identified exemplar (PIE) if the modes of the sparse and the dense networks differ.
        Parts: the accuracy of both on PIEs and elsewhere, averaged over the networks, and the share
        of PIEs in each class. With S = 4 seeds or more, "dense against dense" is the share of
        images on which the modes of two halves of the dense networks differ, and "sparse against
        dense" the same of sparse networks with one half of the seeds and dense ones with the
        other. Halves have floor(S/2) seeds, in rising order around a circle: one starts at each
        seed in turn, the other follows it; shares are averaged. Only seeds that both have count.

    Formula:
        m(x) = argmax_k #(s: argmax_j z_sj(x) = k);  1/N #(i: m_sparse(x_i) != m_dense(x_i))

    Motivation:
        Images that a whole population of networks forgets are not lost to the chance of one
        training. Found so, they were rarer, harder and more often mislabelled than others.

    Advantages:
        Needs no labels, and no network is compared with its own twin alone.

    Limitations:
        Few seeds make noisy modes, which differ by chance: Hooker et al. have 30. The two parts of
        halves may be compared with each other, not with the value, whose modes are of all seeds.
        It counts repairs like damage (see the accuracies). A PIE is found by these networks, so
        accuracies on PIEs are low for both by selection. The standard error is over images and
        leaves out that other seeds would give other modes.

    Source:
        Hooker et al., "What Do Compressed Deep Neural Networks Forget?", 2019, and "Characterising
        Bias in Compressed Models", 2020. Ties of the mode and the comparison of halves are ours.

    Args:
        all_logits: Predictions on the test split, by seed.
        all_dense_logits: Those of the dense twins.

    Raises:
        NotApplicable: Fewer than two seeds in common.
        ValueError: They are not predictions on the same images.

    >>> a, b = np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 2.0]])
    >>> dense, sparse = (Predictions(z, np.array([0, 0])) for z in (a, b))
    >>> pie({0: sparse, 1: sparse}, {0: dense, 1: dense}).value
    0.5
    """
    seeds = sorted(all_logits.keys() & all_dense_logits.keys())
    if len(seeds) < 2:
        raise NotApplicable(
            "because the prediction that most seeds make needs two seeds or more that both the "
            f"sparse and the dense networks have, and there is {len(seeds) or 'none'}; name more "
            "in seeds"
        )
    sparse, dense = ([found[seed] for seed in seeds] for found in (all_logits, all_dense_logits))
    for network in (*sparse, *dense):
        check_twins(network, dense[0])
    pies = modal(sparse) != modal(dense)
    accuracies = _accuracies("dense", dense, pies) | _accuracies("sparse", sparse, pies)
    halves = _halves(sparse, dense) if len(seeds) >= 4 else {}
    return mean_reading(pies, parts=halves | accuracies | parts_by_class(pies, dense[0].labels))


def modal(networks: Sequence[Predictions]) -> np.ndarray:
    """The class that most networks say [N]; of equally frequent ones the likeliest to them all.

    >>> says = [Predictions(np.array([z]), np.array([0])) for z in ([1.0, 0.0], [0.0, 3.0])]
    >>> modal(says).tolist()
    [1]
    """
    said = np.stack([network.predicted for network in networks])
    votes = np.sum(said[:, None] == said, axis=0)
    leading = votes == votes.max(axis=0)
    mode: np.ndarray = np.take_along_axis(said, leading.argmax(axis=0)[None], axis=0)[0]
    tied = np.flatnonzero((leading & (said != mode)).any(axis=0))
    if len(tied):
        said, leading = said[:, tied], leading[:, tied]
        # Logarithms, because probabilities of sure networks are 0 and 1, and tied again.
        summed = sum(_some(network, tied).log_probabilities for network in networks)
        likely = np.where(leading, np.take_along_axis(summed, said.T, axis=1).T, -np.inf)
        mode[tied] = np.where(likely == likely.max(axis=0), said, said.max() + 1).min(axis=0)
    return mode


def _some(network: Predictions, rows: np.ndarray) -> Predictions:
    return Predictions(network.logits[rows], network.labels[rows])


def _accuracies(who: str, networks: Sequence[Predictions], pies: np.ndarray) -> dict[str, Part]:
    """Mean accuracy on PIEs and on the other images, where there are any."""
    right = np.mean([network.correct for network in networks], axis=0)
    names = {"class 1": f"{who} on PIEs", "class 0": f"{who} elsewhere"}
    found = parts_by_class(right, pies.astype(np.int64))
    return {names[label]: found[label] for label in names if label in found}


def _halves(sparse: Sequence[Predictions], dense: Sequence[Predictions]) -> dict[str, Part]:
    """How much modes of half of the seeds differ from those of the other half's dense networks."""
    count, size = len(dense), len(dense) // 2
    circle = [(start + np.arange(2 * size)) % count for start in range(count)]
    parts = {}
    for who, networks in (("dense", dense), ("sparse", sparse)):
        differ = [
            modal([networks[s] for s in turn[:size]]) != modal([dense[s] for s in turn[size:]])
            for turn in circle
        ]
        share = mean_reading(np.mean(differ, axis=0))
        parts[f"{who} against dense"] = Part(share.value, share.stderr, share.n)
    return parts
