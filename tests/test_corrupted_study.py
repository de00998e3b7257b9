"""Corrupted test sets in a study: made once, shown to every network, judged against dense seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scratchcard import probe, registry
from scratchcard.collect import collect
from scratchcard.contracts import NotApplicable, Part, Reading, UserError
from scratchcard.contracts.corruptions import SEVERITIES, STANDARD, ErrorRates
from scratchcard.data.base import Images
from scratchcard.data.corruptions import corrupt
from scratchcard.data.corruptions.official import files
from scratchcard.graph import Plan
from scratchcard.long_table import long_table
from scratchcard.plan import build
from scratchcard.probe import Predictions
from scratchcard.stages import execute
from scratchcard.stages.work import Work
from scratchcard.store import Store
from scratchcard.study import Study, StudyError

STUDY = """
name = "corrupted"
seeds = 2
metrics = ["spy", "herd"]
methods = ["random"]
models = ["mlp"]
[data.pictures]
kind = "folder"
train = "train"
test = "test"
size = 28
[transfer.others]
kind = "folder"
train = "train"
test = "test"
size = 20
[ladder]
rungs = [4]
[training]
epochs = 1
batch_size = 4
[corruptions]
images = 6
seed = 5
"""
PRINTS = {"data.pictures": "p", "transfer.others": "t", "corruptions.pictures": "c"}


@pytest.fixture(scope="module", autouse=True)
def metrics() -> Iterator[None]:
    """Two metrics that hand on what they are given."""
    registry.METRICS.names()  # loads what is built in
    before = dict(registry.METRICS._specs)

    @registry.metric("spy", title="Spy", dimension="generalisation", better="lower")
    def spy(
        corrupted_logits: dict[str, tuple[Predictions, ...]],
        corruption_baseline: ErrorRates,
        transfer: dict[str, tuple[Images, Images]],
    ) -> Reading:
        """Hand on what it is given."""
        parts = {
            f"{kind} {s}": Part(float(1 - p.correct.mean()), 0.0, len(p))
            for kind, ladder in corrupted_logits.items()
            for s, p in enumerate(ladder, 1)
        }
        parts |= {
            f"dense {kind} {s}": Part(error, 0.0, 1)
            for kind, errors in corruption_baseline.corrupted.items()
            for s, error in enumerate(errors, 1)
        }
        parts["dense clean"] = Part(corruption_baseline.clean, 0.0, 1)
        assert [images.task_shape for images in transfer["others"]] == 2 * [(3, 28, 28)]
        return Reading(0.5, 0.1, 6, parts=parts)

    @registry.metric("herd", title="Herd", dimension="fairness", better="lower")
    def herd(
        all_logits: dict[int, Predictions], all_dense_logits: dict[int, Predictions]
    ) -> Reading:
        """How many seeds it is given, and the mean accuracy of the dense networks."""
        assert list(all_logits) == list(all_dense_logits)
        dense = [float(p.correct.mean()) for p in all_dense_logits.values()]
        return Reading(float(np.mean(dense)), 0.0, len(all_logits))

    yield
    registry.METRICS._specs.clear()
    registry.METRICS._specs.update(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy colour, 28 pixels wide."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for number, name in enumerate(("a", "b", "c")):
            (root / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = rng.integers(0, 253, (28, 28, 3))
                pixels[..., number] += 2
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / name / f"{k}.png")
    return root


@pytest.fixture(scope="module")
def study(folder: Path, metrics: None) -> Study:
    return Study.parse(STUDY, base=folder)


@pytest.fixture(scope="module")
def plan(study: Study) -> Plan:
    return build(study, PRINTS)


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("corrupted") / "store")
    for stage in plan.stages.values():
        execute(stage, store, lambda fraction: None)
    return store


def test_sets_are_made_once_and_baselines_once_a_model(plan: Plan) -> None:
    kinds = Counter(stage.kind for stage in plan.stages.values())
    assert kinds["corrupt"] == len(STANDARD) * len(SEVERITIES)
    assert kinds["baseline"] == 1
    # Four networks: clean logits, and those of fifteen kinds.
    assert kinds["logits"] == 4 * (1 + len(STANDARD))
    assert kinds["measure"] == 4 + 1
    assert [(g.method, list(g.measures)) for g in plan.groups] == [("random", ["herd"])]
    assert Plan.from_json(plan.to_json()).groups == plan.groups


def test_errors_are_those_of_the_generator_and_the_stored_network(
    study: Study, plan: Plan, store: Store
) -> None:
    results = collect(study, plan, store, Path())
    test = next(iter(plan.stages.values())).digest
    arrays = store.arrays(test, "test")
    errors: dict[tuple[int, str, int], float] = {}
    for measured in results.networks:
        network, parts = measured.network, measured.readings["spy"].parts
        stage = plan.stages[network.measures["spy"]]
        logits = plan.stages[stage.inputs["corrupted_logits.fog"]]
        model = Work(logits, store, lambda fraction: None).network("network")
        for kind in ("gaussian_noise", "fog"):
            for severity in (1, 5):
                made = store.arrays(
                    plan.stages[stage.inputs[f"corrupted_logits.{kind}"]].inputs[
                        f"severity.{severity}"
                    ],
                    "test",
                )
                # An image's draws depend on its number in the test split, taken or not.
                whole = corrupt(torch.from_numpy(arrays["pixels"]), kind, severity, seed=5).numpy()
                rows = [
                    i for one in made["pixels"] for i, w in enumerate(whole) if (w == one).all()
                ]
                assert len(rows) == len(set(rows)) == 6
                assert np.bincount(made["labels"]).tolist() == [2, 2, 2]
                found = probe.logits(model, torch.from_numpy(whole[rows]))
                wrong = float((found.argmax(1) != arrays["labels"][rows]).mean())
                assert parts[f"{kind} {severity}"].value == pytest.approx(wrong)
                if network.method == "dense":
                    errors[network.seed, kind, severity] = wrong
    for measured in results.networks:
        parts = measured.readings["spy"].parts
        mean = np.mean([errors[seed, "fog", 5] for seed in (0, 1)])
        assert parts["dense fog 5"].value == pytest.approx(mean)


def test_all_seeds_together_have_one_row_without_a_seed(
    study: Study, plan: Plan, store: Store
) -> None:
    results = collect(study, plan, store, Path())
    rows = [row for row in long_table(results) if row["metric"] == "herd"]
    assert [(row["method"], row["seed"], row["n"]) for row in rows] == [("random", None, 2)]


def test_a_data_set_that_is_too_small_says_so(folder: Path, store: Store) -> None:
    small = Study.parse(STUDY.replace("size = 28", "size = 8"), base=folder)
    plan = build(small, PRINTS)
    kinds = Counter(stage.kind for stage in plan.stages.values())
    assert (kinds["corrupt"], kinds["baseline"]) == (0, 0)
    for stage in plan.stages.values():
        execute(stage, store, lambda fraction: None)
    results = collect(small, plan, store, Path())
    assert {m.missing["spy"] for m in results.networks} == {
        "not applicable: corruptions are defined for images of at least 28 pixels a side, "
        "and these have 8x8"
    }


def test_another_sample_or_seed_is_another_set(folder: Path, plan: Plan) -> None:
    for old, new in (("images = 6", "images = 7"), ("seed = 5", "seed = 6")):
        other = build(Study.parse(STUDY.replace(old, new), base=folder), PRINTS)
        made = {d for d, stage in other.stages.items() if stage.kind == "corrupt"}
        assert not made & plan.stages.keys()


def test_extra_kinds_are_made_when_they_are_asked_for(folder: Path) -> None:
    more = Study.parse(STUDY.replace("seed = 5", "extra = true"), base=folder)
    kinds = Counter(stage.kind for stage in build(more, PRINTS).stages.values())
    assert kinds["corrupt"] == 19 * 5


def test_official_files_are_read_and_their_labels_follow_the_classes(
    folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(3), 4)
    pixels = rng.integers(0, 256, (60, 28, 28, 3), dtype=np.uint8)
    for kind in STANDARD:
        np.save(tmp_path / f"{kind}.npy", pixels)
    np.save(tmp_path / "labels.npy", np.tile(labels, 5))
    text = STUDY.replace("size = 28", "size = 28\nheld_out = [1]").replace("images = 6", "")
    text += f'official = {{ pictures = "{tmp_path}" }}\n'
    plan = build(Study.parse(text, base=folder), PRINTS)
    store = Store(tmp_path / "store")
    data, made = (
        next(s for s in plan.stages.values() if s.kind == kind) for kind in ("data", "corrupt")
    )
    for stage in (data, made):
        execute(stage, store, lambda fraction: None)
    arrays = store.arrays(made.digest, "test")
    assert arrays["labels"].tolist() == [0, 1] * 4, "class 2 has become 1"
    wanted = pixels[:12][labels != 1].transpose(0, 3, 1, 2)
    assert (arrays["pixels"] == wanted).all()
    assert set(files(tmp_path)) == {"labels.npy", *(f"{kind}.npy" for kind in STANDARD)}

    wide = build(Study.parse(text.replace("size = 28", "size = 32"), base=folder), PRINTS)
    data, made = (
        next(s for s in wide.stages.values() if s.kind == kind) for kind in ("data", "corrupt")
    )
    execute(data, store, lambda fraction: None)
    with pytest.raises(UserError, match=r"have the shape \(3, 28, 28\)"):
        execute(made, store, lambda fraction: None)


def test_severities_of_other_images_are_refused(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    official = tmp_path / "official"
    for kind in STANDARD:
        for severity in SEVERITIES:
            for name in ("a", "b", "c"):
                place = official / kind / str(severity) / name
                place.mkdir(parents=True)
                # Of one class a file was lost.
                for k in range(3 if (kind, severity, name) == ("fog", 3, "a") else 4):
                    pixels = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(place / f"{k}.png")
    text = STUDY.replace("images = 6", "images = 7") + f'official = {{ pictures = "{official}" }}\n'
    plan = build(Study.parse(text, base=folder), PRINTS)
    store = Store(tmp_path / "store")
    shown = next(s for s in plan.stages.values() if s.label.endswith("logits of fog"))
    before = plan.ancestors(shown.digest) - {shown.digest}
    for stage in (s for digest, s in plan.stages.items() if digest in before):
        execute(stage, store, lambda fraction: None)
        if stage.kind == "corrupt":
            assert store.result(stage.digest)["sizes"] == {"test": 7}, "the size does not tell"
    with pytest.raises(UserError, match=r"severity 3 .* other labels than .* severity 1"):
        execute(shown, store, lambda fraction: None)


def test_a_sample_can_be_chosen_by_its_standard_error(folder: Path, store: Store) -> None:
    text = STUDY.replace("images = 6", "stderr = 0.2")
    plan = build(Study.parse(text, base=folder), PRINTS)
    made = next(stage for stage in plan.stages.values() if stage.kind == "corrupt")
    execute(made, store, lambda fraction: None)
    assert store.result(made.digest)["sizes"] == {"test": 8}, "1 + 1/(4 x 0.2^2), rounded up"
    with pytest.raises(StudyError, match="the number of images another way"):
        Study.parse(STUDY + "stderr = 0.2", base=folder)


def test_an_official_set_of_unknown_data_is_a_mistake(folder: Path) -> None:
    text = STUDY + 'official = { picture = "nowhere" }\n'
    with pytest.raises(StudyError) as caught:
        Study.parse(text, base=folder)
    assert 'did you mean "pictures"?' in str(caught.value)
    assert '"nowhere" does not exist' in str(caught.value)


def test_a_group_metric_cannot_be_measured_by_hand(folder: Path) -> None:
    images = torch.rand(4, 3, 28, 28), torch.tensor([0, 1, 0, 1])
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 28 * 28, 2))
    from scratchcard import measure

    with pytest.raises(UserError, match="all seeds together"):
        measure(model, "herd", images)
    tiny = torch.rand(4, 3, 8, 8), images[1]
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    with pytest.raises(NotApplicable, match="at least 28 pixels"):
        measure(small, "spy", tiny, dense=small, transfer={})
