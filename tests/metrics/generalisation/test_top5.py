"""Top-5 accuracy against a count by hand, a loop over images, and sklearn."""

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from scratchcard.contracts import NotApplicable
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.metrics.generalisation.top5 import top5
from scratchcard.probe import Predictions


def draw(n: int, classes: int, seed: int = 0) -> Predictions:
    stream = np.random.default_rng(seed)
    z = stream.normal(size=(n, classes)).astype(np.float32)
    return Predictions(z, stream.integers(classes, size=n))


def by_loop(p: Predictions) -> float:
    hits = 0
    for z, label in zip(p.logits.tolist(), p.labels.tolist(), strict=True):
        order = sorted(range(len(z)), key=lambda k: (-z[k], k))
        hits += label in order[:5]
    return hits / len(p)


@pytest.mark.parametrize("classes", [6, 10, 1000])
def test_it_is_sklearns(classes: int) -> None:
    p = draw(400, classes)
    wanted = top_k_accuracy_score(p.labels, p.logits, k=5, labels=np.arange(classes))
    assert top5(p).value == pytest.approx(wanted, abs=1e-12)
    assert top5(p).value >= accuracy(p).value


def test_a_rank_is_counted_by_hand() -> None:
    z = np.tile(np.arange(8, dtype=np.float32), (8, 1))
    reading = top5(Predictions(z, np.arange(8)))
    assert reading.examples is not None
    assert reading.examples.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    assert [part.value for part in reading.parts.values()] == reading.examples.tolist()


def test_of_equal_logits_the_first_five_classes_are_taken() -> None:
    constant = Predictions(np.zeros((20, 10), np.float32), np.arange(20) % 10)
    assert top5(constant).value == 0.5  # with "at most four are larger" it would be 1
    tied = draw(300, 9)
    tied = Predictions(tied.logits.round(), tied.labels)
    assert top5(tied).value == by_loop(tied)


def test_an_unused_class_has_no_part() -> None:
    p = draw(60, 8)
    p = Predictions(p.logits, p.labels % 7)
    assert list(top5(p).parts) == [f"class {k}" for k in range(7)]


@pytest.mark.parametrize("classes", [2, 5])
def test_it_says_nothing_of_few_classes(classes: int) -> None:
    with pytest.raises(NotApplicable, match=f"{classes} classes"):
        top5(draw(20, classes))
