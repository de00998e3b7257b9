"""The four scores against scipy and closed forms, and that the default is no part of a digest."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

from scratchcard.contracts import UserError
from scratchcard.metrics.generalisation.ood_auroc import ood_auroc
from scratchcard.metrics.generalisation.ood_scores import Score, compare, log_entropy, sureness
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS

SCORES: tuple[Score, ...] = ("max-softmax", "max-logit", "energy", "entropy")


def draw(n: int, classes: int = 5, scale: float = 2.0, seed: int = 0) -> np.ndarray:
    stream = np.random.default_rng(seed)
    return (stream.normal(size=(n, classes)) * scale).astype(np.float32)


def by_scipy(logits: np.ndarray, score: Score) -> np.ndarray:
    z = logits.astype(np.float64)
    return np.asarray(
        {
            "max-softmax": lambda: softmax(z, axis=1).max(axis=1),
            "max-logit": lambda: z.max(axis=1),
            "energy": lambda: logsumexp(z, axis=1),
            "entropy": lambda: -entropy(softmax(z, axis=1), axis=1),
        }[score]()
    )


@pytest.mark.parametrize("score", SCORES)
def test_every_score_orders_like_its_textbook_form(score: Score) -> None:
    own, foreign = draw(200), draw(150, scale=1.5, seed=1)
    truth = np.repeat([1, 0], [200, 150])
    wanted = roc_auc_score(truth, np.concatenate([by_scipy(z, score) for z in (own, foreign)]))
    reading = ood_auroc(Predictions(own, np.zeros(200, int)), {"far": foreign}, {}, score=score)
    assert reading.value == pytest.approx(wanted, abs=1e-12)


def test_the_scores_are_four() -> None:
    own, far = Predictions(draw(200), np.zeros(200, int)), {"far": draw(150, scale=1.5, seed=1)}
    assert len({ood_auroc(own, far, {}, score=score).value for score in SCORES}) == 4


@pytest.mark.parametrize("scale", [0.0, 0.1, 2.0, 8.0])
def test_the_entropy_is_scipys(scale: float) -> None:
    z = draw(100, classes=7, scale=scale).astype(np.float64)
    np.testing.assert_allclose(np.exp(log_entropy(z)), entropy(softmax(z, axis=1), axis=1), 1e-9)


@pytest.mark.parametrize("gap", [1.0, 39.9, 40.1, 300.0])
def test_of_two_classes_the_entropy_has_a_closed_form(gap: float) -> None:
    # H = log(1 + e^-g) + g e^-g / (1 + e^-g)
    tail = np.exp(-gap)
    wanted = np.log1p(tail) + gap * tail / (1 + tail)
    assert float(np.exp(log_entropy(np.array([[5.0, 5 + gap]])))[0]) == pytest.approx(wanted, 1e-12)


@pytest.mark.parametrize("score", ["max-softmax", "entropy"])
def test_boundless_confidence_is_not_tied(score: Score) -> None:
    gaps = np.geomspace(1, 1e4, 500)
    z = np.stack([np.zeros(500), gaps], axis=1)
    assert (np.diff(sureness(z, score)) > 0).all()
    assert (np.diff(by_scipy(z, score)) == 0).any()


@pytest.mark.parametrize("score", SCORES)
def test_huge_and_equal_logits_give_numbers(score: Score) -> None:
    assert np.isfinite(sureness(np.array([[3e38, -3e38, 0], [3e38] * 3], np.float32), score)).all()
    found = sureness(np.array([[1e6, -1e6, 0], [1e6] * 3, [0, 0, 0]], np.float32), score)
    if score in ("max-softmax", "entropy"):
        assert found[0] > found[1] == pytest.approx(found[2])


@pytest.mark.parametrize("score", SCORES)
def test_a_constant_added_to_every_logit_of_all_images_changes_nothing(score: Score) -> None:
    own, foreign = np.round(draw(80) * 8) / 8, np.round(draw(60, seed=1) * 8) / 8
    labels = np.zeros(80, int)
    one = ood_auroc(Predictions(own, labels), {"far": foreign}, {}, score=score)
    raised = {"far": foreign + 256}
    other = ood_auroc(Predictions(own + 256, labels), raised, {}, score=score)
    assert other.value == pytest.approx(one.value, abs=1e-3)  # float ties may break
    if score in ("max-logit", "energy"):
        # A sigmoid of raw scores, as a well-known library takes it, ties them all.
        squashed = [1 / (1 + np.exp(-sureness(z + 256, score))) for z in (own, foreign)]
        truth = np.repeat([1, 0], [80, 60])
        assert roc_auc_score(truth, np.concatenate(squashed)) == 0.5 != one.value


def test_an_unknown_score_is_refused() -> None:
    own = Predictions(draw(5), np.zeros(5, int))
    with pytest.raises(UserError, match=r'"max-softmax", .*"entropy", not "odin"'):
        ood_auroc(own, {"far": draw(5)}, {}, score="odin")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        compare(own, {}, {}, "energy", lambda mine, theirs: 0.0)


def test_the_default_of_the_option_is_no_part_of_a_digest() -> None:
    spec = METRICS.get("ood-auroc")
    assert (spec.version, spec.changed({"score": "max-softmax"})) == (2, {})
    assert spec.changed({"score": "energy"}) == {"score": "energy"}
