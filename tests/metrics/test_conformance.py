"""Every registered metric conforms, and the suite notices those that do not."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard.contracts import NEEDS, NotApplicable, Part, Reading
from scratchcard.contracts.corruptions import STANDARD
from scratchcard.data.base import Images
from scratchcard.metrics.generalisation.accuracy import accuracy
from scratchcard.probe import Predictions, check_logits, check_no_probabilities, logits
from scratchcard.registry import METRICS, metric
from scratchcard.stats import mean_reading
from scratchcard.testing import check_metric
from scratchcard.testing.metric_cases import ODD_CASES, case, permuted

ARGUMENTS: dict[str, dict[str, Any]] = {
    "autoattack": {"steps": 5, "queries": 20},
    "concepts-kept": {"itself": 1.0, "threshold": 0.0},
    "explanation-agreement": {"itself": 1.0, "masks": 32},
    "fidelity": {"masks": 32},
    "fidelity-r2": {"masks": 32},
    "gradient-masking": {"steps": 5, "queries": 20},
    "latency": {"repeats": 2},
    "loss-plane": {"placed": True, "points": 5},
    "mask-overlap": {"itself": 1.0},
    "mce": {"itself": 1.0},
    "mce-alexnet": {"classes": 1000},
    "mce-relative": {"itself": 1.0},
    "noise-tolerance": {"placed": True, "draws": 2},
    "stability": {"masks": 32},
    "stability-noise": {"masks": 32},
    "transfer-attack": {"itself": None},
    "weight-hessian-top": {"steps": 10},
    "weight-hessian-trace": {"placed": True, "probes": 2},
}
"""Of metrics that are slow, that no zero means equality for, or that want more."""


@pytest.mark.parametrize("name", METRICS.names())
def test_metrics_conform(name: str) -> None:
    check_metric(name, **ARGUMENTS.get(name, {}))


@pytest.fixture
def register() -> Iterator[Callable[..., None]]:
    """Register a function under the name ``bad`` for the length of a test."""
    METRICS.names()
    known = dict(METRICS._specs)

    def add(target: Callable[..., Reading], **declared: Any) -> None:
        target.__doc__ = declared.pop("doc", accuracy.__doc__)
        wanted: dict[str, Any] = {"title": "Bad", "dimension": "fairness", "better": "higher"}
        metric("bad", **(wanted | declared))(target)

    yield add
    METRICS._specs.clear()
    METRICS._specs.update(known)


def forgets_eval(model: nn.Module, logits: Predictions) -> Reading:
    model.train()
    return mean_reading(logits.correct)


def leaves_gradients(model: nn.Module, logits: Predictions) -> Reading:
    sum(p.sum() for p in model.parameters()).backward()  # type: ignore[union-attr]
    return mean_reading(logits.correct)


def draws_globally(logits: Predictions) -> Reading:
    torch.rand(1)
    return mean_reading(logits.correct)


def moves_weights(model: nn.Module, logits: Predictions) -> Reading:
    next(model.parameters()).data.add_(1)
    return mean_reading(logits.correct)


def looks_at_the_first(logits: Predictions) -> Reading:
    return mean_reading(logits.confidence[:10])


def never_the_same(logits: Predictions) -> Reading:
    return mean_reading(logits.correct + np.random.default_rng().normal(size=len(logits)))


def other_examples(logits: Predictions) -> Reading:
    return Reading(0.25, 0.1, len(logits), examples=logits.confidence)


def sees_batches(logits: Predictions, *, batch_size: int = 10) -> Reading:
    return mean_reading(logits.correct * batch_size)


def infinite_parts(logits: Predictions) -> Reading:
    return mean_reading(logits.correct, parts={"class 0": Part(float("nan"), 0.0, 1)})


def draws_from_numpy(logits: Predictions) -> Reading:
    np.random.rand()
    return mean_reading(logits.correct)


def darkens_images(test: Images, logits: Predictions) -> Reading:
    test.pixels.zero_()
    return mean_reading(logits.correct)


def leaves_a_hook(model: nn.Module, logits: Predictions) -> Reading:
    model.register_forward_pre_hook(lambda *_: None)
    return mean_reading(logits.correct)


def knows_who_it_is(model: nn.Module, logits: Predictions) -> Reading:
    return mean_reading(logits.correct * (id(model) % 10_007))


def favours_a_unit(model: nn.Module, logits: Predictions) -> Reading:
    return mean_reading(logits.correct * next(model.parameters())[0].abs().sum().item())


def never_equal(logits: Predictions, dense_logits: Predictions) -> Reading:
    return mean_reading(logits.correct & dense_logits.correct)


def takes_the_first(model: nn.Module, test: Images) -> Reading:
    with torch.no_grad():
        answer = model(test.floats())
    answer = answer[0] if isinstance(answer, tuple) else answer
    return accuracy(Predictions(answer.numpy(), test.labels.numpy()))


def takes_the_key(model: nn.Module, test: Images) -> Reading:
    with torch.no_grad():
        answer = model(test.floats())
    if isinstance(answer, tuple):
        raise ValueError("a tuple")
    answer = answer["logits"] if isinstance(answer, dict) else answer
    return accuracy(Predictions(answer.numpy(), test.labels.numpy()))


def trusts_tensors(model: nn.Module, test: Images) -> Reading:
    with torch.no_grad():
        answer = check_logits(model(test.floats()), len(test))
    return mean_reading(Predictions(answer.numpy(), test.labels.numpy()).confidence)


def trusts_numbers(model: nn.Module, test: Images) -> Reading:
    with torch.no_grad():
        answer = check_logits(model(test.floats()), len(test))
    check_no_probabilities(answer)
    return mean_reading((answer.argmax(dim=1) == test.labels).numpy())


def crashes_over_tuples(dense_model: nn.Module, test: Images) -> Reading:
    with torch.no_grad():
        return mean_reading((dense_model(test.floats()).argmax(dim=1) == test.labels).numpy())


def trusts_foreign_logits(ood_logits: Mapping[str, np.ndarray]) -> Reading:
    return mean_reading(np.concatenate([z.argmax(axis=1) for z in ood_logits.values()]) == 0)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (forgets_eval, "changed the mode"),
        (leaves_gradients, "changed gradients"),
        (draws_globally, "changed torch's random numbers"),
        (moves_weights, "changed weights"),
        (looks_at_the_first, "in another order"),
        (never_the_same, "two answers"),
        (other_examples, "examples average"),
        (sees_batches, "in batches of 19"),
        (infinite_parts, "part 'class 0' is nan"),
        (draws_from_numpy, "changed numpy's random numbers"),
        (darkens_images, "changed the test images"),
        (leaves_a_hook, "changed hooks"),
        (knows_who_it_is, "of a copy of the network"),
        (favours_a_unit, "with hidden units in another order"),
        (never_equal, "beside itself it is .*, not 0.0"),
        (takes_the_first, "a model that returns a tuple"),
        (takes_the_key, "a model that returns a dictionary"),
        (trusts_tensors, "a model that returns probabilities"),
        (trusts_numbers, "a model that returns logits that are no numbers"),
        (trusts_foreign_logits, "ood_logits with nan"),
    ],
)
def test_misconduct_is_noticed(
    register: Callable[..., None], target: Callable[..., Reading], message: str
) -> None:
    register(target)
    with pytest.raises(AssertionError, match=message):
        check_metric("bad")


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"doc": "One line."}, "lacks Definition, Formula"),
        ({"title": ""}, "no title"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"headline": True, "margin": 0.1}, "its dimension has no vote"),
        ({"paper": {"bins": 14}}, r"unknown options \['bins'\]"),
    ],
)
def test_poor_declarations_are_noticed(
    register: Callable[..., None], declared: dict[str, Any], message: str
) -> None:
    def fine(logits: Predictions) -> Reading:
        return mean_reading(logits.correct)

    register(fine, **declared)
    with pytest.raises(AssertionError, match=message):
        check_metric("bad")


def test_what_takes_no_ValueError_for_an_answer_is_noticed(register: Callable[..., None]) -> None:
    register(crashes_over_tuples)
    with pytest.raises(AssertionError, match="a dense_model that returns a tuple"):
        check_metric("bad", itself=None)


def both_right(logits: Predictions, dense_logits: Predictions) -> Reading:
    return mean_reading(logits.correct | ~dense_logits.correct)


@pytest.mark.parametrize("itself", [1.0, None])
def test_no_difference_may_have_another_number(
    register: Callable[..., None], itself: float | None
) -> None:
    register(both_right)
    check_metric("bad", itself=itself)


def keeps_time(model: nn.Module, test: Images) -> Reading:
    start = time.perf_counter()
    Predictions(logits(model, test.pixels), test.labels.numpy())
    return Reading(time.perf_counter() - start, 0.0, 1)


def test_what_keeps_time_must_say_so(register: Callable[..., None]) -> None:
    register(keeps_time)
    with pytest.raises(AssertionError, match="two answers"):
        check_metric("bad")


def test_what_says_that_it_keeps_time_may(register: Callable[..., None]) -> None:
    register(keeps_time, timed=True)
    check_metric("bad")


def wants_many(logits: Predictions, *, least: int) -> Reading:
    if logits.classes < least:
        raise NotApplicable(f"because there are {logits.classes} classes, not {least}")
    return mean_reading(logits.correct)


def test_the_ordinary_case_has_as_many_classes_as_are_wanted(
    register: Callable[..., None],
) -> None:
    register(wants_many)
    with pytest.raises(NotApplicable, match="6 classes"):
        check_metric("bad", least=50)
    check_metric("bad", least=50, classes=50)


def test_the_case_has_whatever_a_metric_may_need() -> None:
    found = case(classes=6, n=40)
    assert set(found) == set(NEEDS)
    for need in NEEDS:
        found[need]()
    assert set(found["corrupted_logits"]()) == set(STANDARD)
    assert list(found["all_logits"]()) == [0, 1, 2]
    votes = [predictions.logits for predictions in found["all_logits"]().values()]
    assert np.array_equal(votes[0], logits(found["model"](), found["test"]().pixels))
    assert not np.allclose(votes[1], votes[2])


def test_its_networks_are_right_more_often_than_not_and_noise_hurts_them() -> None:
    found = case(classes=6, n=40)
    rates = found["corruption_baseline"]()
    assert 0 < rates.clean < 0.5
    assert all(np.mean(errors) > rates.clean + 0.05 for errors in rates.corrupted.values())


def test_permuted_channels_compute_the_same() -> None:
    found = case(classes=6, n=40)
    model, pixels = found["model"](), found["test"]().pixels
    other = permuted(model)
    np.testing.assert_allclose(logits(other, pixels), logits(model, pixels), atol=1e-5)
    changed = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    assert sum(not torch.equal(old, new) for old, new in changed) == 6


@pytest.mark.parametrize("odd", ODD_CASES.values(), ids=ODD_CASES)
def test_odd_cases_are_what_they_are_called(odd: dict[str, Any]) -> None:
    found = case(**odd)
    kinds = {type(module) for module in found["model"]().modules()}
    assert ({nn.BatchNorm2d, nn.Dropout} <= kinds) != odd.get("plain", False)
    test: Images = found["test"]()
    assert len(test) == odd["n"]
    assert test.task_shape == odd.get("shape", (1, 8, 8))
    seen: Predictions = found["logits"]()
    assert seen.classes == odd["classes"]
    if "scale" in odd:
        assert np.ptp(seen.logits) > 1e4 if odd["scale"] else not seen.logits.any()
