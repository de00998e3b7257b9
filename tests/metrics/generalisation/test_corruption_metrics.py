"""Corruption error and its three normalised forms against closed forms, loops and a simulation."""

from collections.abc import Mapping

import numpy as np
import pytest

from scratchcard.contracts import ErrorRates, NotApplicable
from scratchcard.contracts.corruptions import EXTRA, FAMILIES, SEVERITIES, STANDARD
from scratchcard.metrics.generalisation import corruption_scores
from scratchcard.metrics.generalisation.corruption_error import corruption_error
from scratchcard.metrics.generalisation.corruption_scores import errors_of
from scratchcard.metrics.generalisation.mce import mce
from scratchcard.metrics.generalisation.mce_relative import mce_relative
from scratchcard.probe import Predictions
from scratchcard.stats import resamples

Corrupted = Mapping[str, tuple[Predictions, ...]]


def told(wrong: np.ndarray) -> Predictions:
    """Two classes by turns, told wrongly where it says so."""
    labels = np.arange(len(wrong)) % 2
    return Predictions(np.eye(2, dtype=np.float32)[np.where(wrong, 1 - labels, labels)], labels)


def network(
    n: int = 40, *, seed: int = 0, rate: float = 0.4, extra: tuple[str, ...] = ()
) -> dict[str, tuple[Predictions, ...]]:
    """Errors drawn at a rate that differs from cell to cell, likelier on some images."""
    stream = np.random.default_rng(seed)
    hard = stream.uniform(0.2, 1.8, size=n)
    return {
        kind: tuple(
            told(stream.random(n) < rate * stream.uniform(0.5, 1.5) * hard) for _ in SEVERITIES
        )
        for kind in STANDARD + extra
    }


def rates(given: Corrupted, clean: float = 0.1) -> ErrorRates:
    """The error rates of one network, one image at a time."""
    return ErrorRates(clean, {kind: tuple(map(error, cells)) for kind, cells in given.items()})


def error(p: Predictions) -> float:
    return float(np.mean([z.argmax() != y for z, y in zip(p.logits, p.labels, strict=True)]))


def flat(rate: float, clean: float = 0.1, **other: tuple[float, ...]) -> ErrorRates:
    """One rate everywhere but for the kinds named."""
    return ErrorRates(clean, {**dict.fromkeys(STANDARD, (rate,) * 5), **other})


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_corruption_error_is_that_of_three_loops() -> None:
    given = network(extra=EXTRA)
    cells = {f"{kind} {s}": error(given[kind][s - 1]) for kind in given for s in SEVERITIES}
    expected = dict(cells)
    for kind in given:
        expected[kind] = mean([cells[f"{kind} {s}"] for s in SEVERITIES])
    for family, kinds in FAMILIES.items():
        expected[family] = mean([expected[kind] for kind in kinds])
    for s in SEVERITIES:
        expected[f"severity {s}"] = mean([cells[f"{kind} {s}"] for kind in STANDARD])
    reading = corruption_error(given)
    assert {label: part.value for label, part in reading.parts.items()} == pytest.approx(expected)
    assert reading.value == pytest.approx(mean([expected[kind] for kind in STANDARD]))
    assert {part.n for part in reading.parts.values()} == {reading.n} == {40}


def test_every_image_gives_one_number() -> None:
    given = network()
    wrong = [float(p.logits[3].argmax() != p.labels[3]) for cells in given.values() for p in cells]
    examples = corruption_error(given).examples
    assert examples is not None
    assert examples[3] == pytest.approx(mean(wrong))


def test_the_standard_error_is_that_of_fresh_images() -> None:
    """Cells show the same images, so 75 N answers are far fewer than they look."""
    n = 60

    def draw(seed: int) -> dict[str, tuple[Predictions, ...]]:
        stream = np.random.default_rng(seed)
        hard = stream.random(n)
        return {k: tuple(told(stream.random(n) < hard**2) for _ in SEVERITIES) for k in STANDARD}

    readings = [corruption_error(draw(seed)) for seed in range(150)]
    fresh = np.std([reading.value for reading in readings], ddof=1)
    assert np.mean([reading.stderr for reading in readings]) == pytest.approx(fresh, rel=0.2)
    p = np.mean([reading.value for reading in readings])
    assert np.sqrt(p * (1 - p) / (75 * n)) < fresh / 4
    severity = np.array([(p.value, p.stderr) for p in (r.parts["severity 2"] for r in readings)])
    assert severity[:, 1].mean() == pytest.approx(severity[:, 0].std(ddof=1), rel=0.2)


def test_a_network_against_itself_is_1() -> None:
    given = network(extra=EXTRA)
    reading = mce(given, rates(given))
    assert reading.value == pytest.approx(1, abs=1e-12)
    assert len(reading.parts) == 5 + 19 + 5
    for part in reading.parts.values():
        assert part.value == pytest.approx(1, abs=1e-12)


def test_dense_networks_average_1() -> None:
    seeds = [network(seed=seed, rate=0.2 + 0.1 * seed) for seed in range(3)]
    each = [rates(given).corrupted for given in seeds]
    together = {k: tuple(np.mean([one[k] for one in each], axis=0).tolist()) for k in STANDARD}
    found = [mce(given, ErrorRates(0.1, together)).value for given in seeds]
    assert max(found) > 1.2
    assert mean(found) == pytest.approx(1, abs=1e-12)


def test_all_errors_times_a_factor_is_the_factor() -> None:
    given = network()
    own = rates(given)
    halved = {kind: tuple(e / 2 for e in errors) for kind, errors in own.corrupted.items()}
    reading = mce(given, ErrorRates(0.1, halved))
    assert reading.value == pytest.approx(2)
    assert reading.parts["severity 4"].value == pytest.approx(2)
    assert reading.stderr == pytest.approx(2 * mce(given, own).stderr)


def test_mce_is_the_mean_of_ratios_of_sums() -> None:
    given, base = network(extra=("spatter",)), rates(network(seed=9, rate=0.3, extra=("spatter",)))
    own = rates(given).corrupted
    ratio = {kind: sum(own[kind]) / sum(base.corrupted[kind]) for kind in own}
    reading = mce(given, base)
    value = mean([ratio[kind] for kind in STANDARD])
    assert reading.value == pytest.approx(value)
    others = (
        sum(sum(own[k]) for k in STANDARD) / sum(sum(base.corrupted[k]) for k in STANDARD),
        mean([mean([own[k][s] / base.corrupted[k][s] for s in range(5)]) for k in STANDARD]),
        mean(list(ratio.values())),
    )
    assert all(abs(other - value) > 1e-3 for other in others)
    for kind in own:
        assert reading.parts[kind].value == pytest.approx(ratio[kind])
    assert reading.parts["blur"].value == pytest.approx(mean([ratio[k] for k in FAMILIES["blur"]]))
    assert reading.parts["extra"].value == pytest.approx(ratio["spatter"])
    third = mean([own[k][2] / base.corrupted[k][2] for k in STANDARD])
    assert reading.parts["severity 3"].value == pytest.approx(third)


def test_differences_of_networks_are_paired() -> None:
    """A network that is the other one but for two images differs with hardly any error."""
    given = network(400)
    other = {k: tuple(told(flipped(c)) for c in cells) for k, cells in given.items()}
    one, two = mce(given, flat(0.4)), mce(other, flat(0.4))
    assert one.examples is not None
    assert two.examples is not None
    difference = two.examples - one.examples
    assert difference.mean() == pytest.approx(two.value - one.value)
    assert np.count_nonzero(difference) <= 2
    assert difference.std(ddof=1) / 20 < one.stderr / 2


def flipped(cell: Predictions) -> np.ndarray:
    wrong = ~cell.correct
    wrong[:2] = ~wrong[:2]
    return wrong


@pytest.mark.parametrize("metric", ["corruption-error", "mce", "mce-relative"])
def test_neither_order_nor_extra_kinds_change_the_value(metric: str) -> None:
    given = network(extra=EXTRA)
    base = rates(given, clean=0.05)
    shuffled = {kind: given[kind] for kind in sorted(given, reverse=True)}
    standard = {kind: given[kind] for kind in STANDARD}
    backwards = ErrorRates(0.05, {k: base.corrupted[k] for k in sorted(STANDARD)})
    clean = told(np.arange(40) % 20 == 0)

    def value(corrupted: Corrupted, baseline: ErrorRates) -> float:
        if metric == "corruption-error":
            return corruption_error(corrupted).value
        if metric == "mce":
            return mce(corrupted, baseline).value
        return mce_relative(clean, corrupted, baseline).value

    expected = value(given, base)
    assert value(shuffled, base) == expected
    assert value(standard, base) == expected
    assert value(given, backwards) == expected
    swapped = standard | {"fog": standard["frost"], "frost": standard["fog"]}
    assert (value(swapped, base) == pytest.approx(expected)) == (metric == "corruption-error")


def test_the_relative_mce_by_hand() -> None:
    """Clean 1 of 4, corrupted 2 of 4 at each severity but the last, 3 of 4 there."""
    clean, half, most = (told(np.arange(4) < wrong) for wrong in (1, 2, 3))
    given = dict.fromkeys(STANDARD, (half, half, half, half, most))
    reading = mce_relative(clean, given, flat(0.3))
    assert reading.value == pytest.approx((4 * 0.25 + 0.5) / (5 * 0.2))
    assert reading.parts["noise"].value == pytest.approx(1.5)
    assert reading.examples is not None
    assert reading.examples.tolist() == pytest.approx([0.0, 5.0, 1.0, 0.0])


def test_the_relative_mce_of_loops_and_of_itself() -> None:
    given, clean = network(extra=EXTRA), told(np.arange(40) < 3)
    own, base = rates(given).corrupted, rates(network(seed=5), clean=0.15)

    def ratio(kind: str) -> float:
        top = sum(e - 0.075 for e in own[kind])
        return top / sum(b - 0.15 for b in base.corrupted[kind])

    reading = mce_relative(clean, given, base)
    assert reading.value == pytest.approx(mean([ratio(kind) for kind in STANDARD]))
    assert reading.parts["digital"].value == pytest.approx(
        mean([ratio(kind) for kind in FAMILIES["digital"]])
    )
    assert "spatter" not in reading.parts
    assert mce_relative(clean, given, ErrorRates(0.075, own)).value == pytest.approx(1)


def test_other_clean_images_are_resampled_on_their_own() -> None:
    given, wrong = network(200), np.random.default_rng(1).random(90) < 0.1
    reading, corrupted = mce_relative(told(wrong), given, flat(0.3)), corruption_error(given)
    fog, clean = corrupted.parts["fog"], float(wrong.std(ddof=1) / np.sqrt(90))
    assert reading.value == pytest.approx((corrupted.value - wrong.mean()) / 0.2)
    assert reading.stderr == pytest.approx(np.hypot(corrupted.stderr, clean) / 0.2, rel=0.15)
    assert reading.parts["fog"].value == pytest.approx((fog.value - wrong.mean()) / 0.2)
    assert reading.parts["fog"].stderr == pytest.approx(np.hypot(fog.stderr, clean) / 0.2)
    assert reading.examples is None
    assert corrupted.examples is not None
    assert reading.replicates is not None
    both = np.concatenate([corrupted.examples, wrong])
    drawn = [both[i[:200]].mean() - both[i[200:]].mean() for i in resamples([200, 90])]
    np.testing.assert_allclose(reading.replicates, np.array(drawn) / 0.2)


def test_a_baseline_without_errors_is_named() -> None:
    with pytest.raises(NotApplicable, match=r"^because the dense networks make no error on fog:"):
        mce(network(), flat(0.3, fog=(0.0,) * 5))


def test_parts_without_a_denominator_are_left_out() -> None:
    base = flat(0.3, saturate=(0.0,) * 5, spatter=(0.2,) * 5, brightness=(0.0, 0.1, 0.1, 0.1, 0.2))
    reading = mce(network(extra=EXTRA), base)
    assert {"saturate", "speckle_noise", "extra", "severity 1"}.isdisjoint(reading.parts)
    assert {"spatter", "brightness", "severity 2"} < set(reading.parts)
    assert np.isfinite(reading.value)


@pytest.mark.parametrize("loss", [-0.05, 0.0, 0.004])
def test_a_baseline_that_does_not_lose_is_named(loss: float) -> None:
    base = flat(0.3, brightness=(0.1 + loss,) * 5)
    with pytest.raises(NotApplicable, match=r"^because .* by less than 0\.5% under brightness:"):
        mce_relative(told(np.arange(40) < 4), network(), base)


def test_a_missing_kind_is_named() -> None:
    given = network()
    short = {kind: given[kind] for kind in STANDARD if kind not in ("snow", "contrast")}
    with pytest.raises(ValueError, match="corrupted_logits lacks snow, contrast;"):
        corruption_error(short)
    with pytest.raises(ValueError, match="corruption_baseline lacks snow, contrast;"):
        mce(given, rates(short))


def test_cells_of_other_images_are_refused() -> None:
    given = network()
    cut = (*given["fog"][:4], told(np.zeros(39, bool)))
    with pytest.raises(ValueError, match="fog at severity 5 is not of the same images"):
        corruption_error(given | {"fog": cut})
    turned = Predictions(given["fog"][1].logits, 1 - given["fog"][1].labels)
    with pytest.raises(ValueError, match="fog at severity 2 is not of the same images"):
        corruption_error(given | {"fog": (given["fog"][0], turned, *given["fog"][2:])})
    with pytest.raises(ValueError, match="fog has 4 severities"):
        corruption_error(given | {"fog": given["fog"][:4]})
    with pytest.raises(ValueError, match="the baseline has 4 error rates of fog"):
        mce(given, flat(0.3, fog=(0.1,) * 4))


def test_one_image_has_no_standard_error() -> None:
    one = dict.fromkeys(STANDARD, (told(np.ones(1, bool)),) * 5)
    with pytest.raises(ValueError, match="at least 2 examples"):
        corruption_error(one)


def test_a_network_that_never_errs_is_at_0() -> None:
    right = dict.fromkeys(STANDARD, (told(np.zeros(8, bool)),) * 5)
    for reading in (corruption_error(right), mce(right, flat(0.3))):
        assert (reading.value, reading.stderr) == (0.0, 0.0)


def test_large_sets_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    given = network()
    whole = errors_of(given)
    monkeypatch.setattr(corruption_scores, "PIECE", 14)  # 7 of 40 images
    np.testing.assert_array_equal(errors_of(given).values, whole.values)
    assert whole.values.dtype == bool
    remembered = {name for cells in given.values() for p in cells for name in vars(p)}
    assert remembered == {"logits", "labels"}
