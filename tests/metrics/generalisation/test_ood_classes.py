"""Foreign sets that are told from some classes only: closed form, plain selection, bad rules."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from scratchcard.contracts import NotApplicable, Reading, UserError
from scratchcard.metrics.generalisation.ood_aupr import ood_aupr
from scratchcard.metrics.generalisation.ood_auroc import ood_auroc
from scratchcard.metrics.generalisation.ood_fpr95 import ood_fpr95
from scratchcard.metrics.generalisation.ood_scores import Score
from scratchcard.probe import Predictions
from scratchcard.stats import resamples

Metric = Callable[..., Reading]
METRICS: tuple[Metric, ...] = (ood_auroc, ood_aupr, ood_fpr95)
SCORES: tuple[Score, ...] = ("max-softmax", "max-logit", "energy", "entropy")


def draw(n: int, classes: int = 5, scale: float = 2.0, seed: int = 0) -> np.ndarray:
    stream = np.random.default_rng(seed)
    return (stream.normal(size=(n, classes)) * scale).astype(np.float32)


def ours(n: int = 200) -> Predictions:
    return Predictions(draw(n), np.arange(n) % 5)


def selected(own: Predictions, classes: list[int]) -> Predictions:
    """A network that tells only these classes, on their images."""
    rows = [i for i, label in enumerate(own.labels) if label in classes]
    labels = np.array([classes.index(own.labels[i]) for i in rows])
    return Predictions(own.logits[rows][:, classes], labels)


@pytest.mark.parametrize("d", [0.0, 1.5])
def test_two_normals_among_other_classes_give_the_closed_form(d: float) -> None:
    n, stream = 20_000, np.random.default_rng(0)
    inside, outside = stream.normal(size=n) + 20 + d, stream.normal(size=n) + 20
    labels = stream.integers(0, 3, size=n)
    inside[labels == 2] = 100  # images of another class, which would be told at once
    other = stream.normal(size=n) * 30  # a logit that would drown the two
    own = np.stack([inside, np.zeros(n), other], axis=1).astype(np.float32)
    far = np.stack([outside, np.zeros(n), -other], axis=1).astype(np.float32)
    reading = ood_auroc(Predictions(own, labels), {"far": far}, {"far": (0, 1)})
    wanted = norm.cdf(d / np.sqrt(2))
    assert abs(reading.value - wanted) < 4 * reading.stderr
    assert reading.stderr < 0.005
    drowned = ood_auroc(Predictions(own, labels), {"far": far}, {})
    assert abs(drowned.value - wanted) > 0.02


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("metric", METRICS)
def test_it_is_the_metric_of_a_network_of_these_classes(metric: Metric, score: Score) -> None:
    own, foreign = ours(), draw(90, scale=1.5, seed=1)
    found = metric(own, {"far": foreign}, {"far": (3, 1, 4, 1)}, score=score)
    alone = metric(selected(own, [1, 3, 4]), {"far": foreign[:, [1, 3, 4]]}, {}, score=score)
    assert found.value == pytest.approx(alone.value, abs=1e-12)
    assert {label: part.value for label, part in found.parts.items()} == pytest.approx(
        {label: part.value for label, part in alone.parts.items()}, abs=1e-12
    )
    assert found.stderr == pytest.approx(alone.stderr, rel=0.2)
    if metric is ood_fpr95:
        return  # coarse: doing half of it may give the same number
    rows, columns = np.isin(own.labels, [1, 3, 4]), [1, 3, 4]
    some_images = Predictions(own.logits[rows], own.labels[rows])
    some_logits = Predictions(own.logits[:, columns], np.zeros(200, int))
    assert metric(some_images, {"far": foreign}, {}, score=score).value != found.value
    fewer = {"far": foreign[:, columns]}
    assert metric(some_logits, fewer, {}, score=score).value != found.value


def test_sets_with_and_without_a_rule_do_not_disturb_each_other() -> None:
    own = ours()
    sets = {"near": draw(70, seed=1), "far": draw(90, seed=2), "other": draw(80, seed=3)}
    rules = {"far": (0, 1), "other": (1, 2, 3)}
    reading = ood_auroc(own, sets, rules)
    alone = {
        name: ood_auroc(own, {name: foreign}, {name: rules[name]} if name in rules else {})
        for name, foreign in sets.items()
    }
    assert reading.value == pytest.approx(np.mean([one.value for one in alone.values()]))
    for name, one in alone.items():
        assert reading.parts[name].value == one.value
        assert reading.parts[name].stderr == pytest.approx(one.stderr, rel=0.25)
        assert reading.parts[name].n == len(sets[name])


@pytest.mark.parametrize("metric", METRICS)
def test_a_resample_is_scored_as_if_it_were_the_set(metric: Metric) -> None:
    own, foreign = ours(60), draw(50, seed=1)
    reading = metric(own, {"far": foreign}, {"far": (0, 2)})
    kept, left_out = np.flatnonzero(own.labels % 2 == 0), np.flatnonzero(own.labels % 2)
    kept = kept[own.labels[kept] < 4]
    left_out = np.sort(np.append(left_out, np.flatnonzero(own.labels == 4)))
    order = np.concatenate([left_out, kept])
    wanted = []
    for index in resamples([len(left_out), len(kept), 50], 20):
        rows = order[index[:60]]
        drawn = Predictions(own.logits[rows], own.labels[rows])
        wanted.append(metric(drawn, {"far": foreign[index[60:] - 60]}, {"far": (0, 2)}).value)
    np.testing.assert_allclose(np.asarray(reading.replicates)[:20], wanted, atol=1e-12)


def test_a_rule_of_all_classes_changes_nothing() -> None:
    own, sets = ours(), {"far": draw(90, seed=1)}
    one, other = ood_auroc(own, sets, {}), ood_auroc(own, sets, {"far": (0, 1, 2, 3, 4)})
    assert (one.value, one.stderr) == (other.value, other.stderr)


@pytest.mark.parametrize("metric", METRICS)
def test_one_image_of_these_classes_is_in_every_resample(metric: Metric) -> None:
    own = Predictions(draw(50), np.array([0] * 49 + [4]))
    reading = metric(own, {"far": draw(30, seed=1)}, {"far": (3, 4)})
    assert np.isfinite(np.asarray(reading.replicates)).all()


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ({"far": (2,)}, UserError, r"\[2\]: take 2 or more"),
        ({"far": (1, 1)}, UserError, "take 2 or more"),
        ({"far": (1, 5)}, UserError, "class 5, but the network tells 5 classes, 0 to 4"),
        ({"far": (-1, 2)}, UserError, "class -1"),
        ({"fur": (1, 2)}, UserError, r'"fur" from, but no such set \(there are: far\)'),
    ],
)
def test_unusable_rules_are_refused(
    classes: dict[str, tuple[int, ...]], error: type[ValueError], message: str
) -> None:
    with pytest.raises(error, match=message):
        ood_auroc(ours(), {"far": draw(30, seed=1)}, classes)


@pytest.mark.parametrize("metric", METRICS)
def test_no_image_of_these_classes_has_nothing_to_say(metric: Metric) -> None:
    own = Predictions(draw(20), np.arange(20) % 3)
    with pytest.raises(NotApplicable, match='no test image is of the classes that "far"'):
        metric(own, {"far": draw(30, seed=1)}, {"far": (3, 4)})
