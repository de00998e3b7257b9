"""Studies: what a right one becomes, and what is said of every mistake in a wrong one."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from scratchcard import registry
from scratchcard.contracts import Context, Method, Step, Task, UserError
from scratchcard.masks import Masks
from scratchcard.registry import Registry
from scratchcard.study import Choice, Ladder, Study, StudyError, Training

RIGHT: Mapping[str, Any] = {
    "name": "right",
    "seeds": 2,
    "methods": ["random"],
    "metrics": ["accuracy"],
    "data": {"squares": {}},
    "models": {"tiny": {}},
    "ladder": {"rungs": [1]},
}
WRONG = """\
# [methods.lth] in a comment, and rungs = [1]
name = "wrong"
seeds = [0, -1]
methods = [
  "random",
  "magik",  # not there
]
metrics = ["accuracy", "auroc"]

[data.squares]
train = "nowhere/train"
[data.small]
kind = "squares"
side = 4

[models.large]
[models.tiny]
widht = 2.0

[trainng]
epochs = 3

[training]
epochs = "3"
lr = 0.1

[ladder]
rungs = [3, 6, 6]
"""


@dataclass(frozen=True, kw_only=True)
class Squares:
    val_images: int = 0
    held_out: tuple[int, ...] = ()
    side: int = 8
    train: Path | None = None
    more: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.side < 1:
            raise UserError(f"side = {self.side} is not positive")

    def task(self) -> Task:
        return Task(1, self.side, self.side, 10 - len(self.held_out))

    def files(self) -> Mapping[str, Path]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Noise(Squares):
    def task(self) -> Task:
        raise UserError("noise can only serve as an out-of-distribution set")


def tiny(task: Task, *, width: float = 1.0) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(task.height, round(task.classes * width)))


def large(task: Task) -> nn.Module:
    if task.height < 32:
        raise UserError(f"images of {task.height} pixels are too small; take 32 or more")
    return nn.Identity()


@dataclass(frozen=True)
class Random(Method):
    def start(self, ctx: Context) -> Masks:
        raise NotImplementedError


@dataclass(frozen=True)
class Lottery(Random):
    rate: float = 0.2
    rewind: str = "0ep"
    allocation: Literal["global", "uniform"] = "global"

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise UserError(f"rate {self.rate} must lie between 0 and 1")

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        if sparsity > 0.99:
            raise UserError(f"cannot reach {sparsity}")
        return (sparsity,)

    @property
    def starts_from(self) -> str:
        return self.rewind


def accuracy(logits: Any) -> None: ...


def ece(logits: Any, *, bins: int = 15, norm: float | str = 1.0) -> None: ...


def temperature(logits: Any, val_logits: Any) -> None: ...


def auroc(logits: Any, ood_logits: Any) -> None: ...


def churn(logits: Any, dense_logits: Any) -> None: ...


def concept(model: Any, *, concept: str) -> None: ...


@pytest.fixture(autouse=True)
def made_up_registries(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "real" in request.fixturenames:
        return
    whats = {"METHODS": "method", "METRICS": "metric", "DATASETS": "data set", "MODELS": "model"}
    for name, what in whats.items():
        fresh: Registry[Any] = Registry(what, "nowhere")
        fresh._loaded = True
        monkeypatch.setattr(registry, name, fresh)
    registry.dataset("squares")(Squares)
    registry.dataset("noise")(Noise)
    registry.dataset("held-out")(Noise)
    registry.model("tiny")(tiny)
    registry.model("large")(large)
    registry.method("random", title="Random", when="before")(Random)
    registry.method("lth", title="Lottery", when="after")(Lottery)
    calibration: dict[str, Any] = {"dimension": "calibration", "better": "lower"}
    registry.metric(
        "accuracy", title="", dimension="generalisation", better="higher", headline=True, margin=0.1
    )(accuracy)
    registry.metric("ece", title="ECE", paper={"bins": 14}, **calibration)(ece)
    registry.metric("temperature", title="", **calibration)(temperature)
    registry.metric("auroc", title="", **calibration)(auroc)
    registry.metric("churn", title="", **calibration)(churn)
    registry.metric("concept", title="", **calibration)(concept)


@pytest.fixture
def real() -> None:
    """Asks for the registries as they are."""


def study(*leave_out: str, base: Path | None = None, **changes: Any) -> Study:
    """The right study with other keys and tables."""
    raw = {key: value for key, value in RIGHT.items() if key not in leave_out}
    return Study.parse({**raw, **changes}, base=base)


def complaints(*leave_out: str, base: Path | None = None, **changes: Any) -> dict[str, str]:
    """Message of each mistake by its key."""
    with pytest.raises(StudyError) as caught:
        study(*leave_out, base=base, **changes)
    return {problem.key: problem.message for problem in caught.value.problems}


# --- What a right study becomes -----------------------------------------------------------------


def test_defaults() -> None:
    found = study()
    assert found.seeds == (0, 1)
    assert found.training == Training()
    assert found.pruning.prunable == ("conv", "linear")
    assert found.methods == {"random": Choice(label="random", kind="random", params={})}
    assert found.data["squares"].params["side"] == 8
    assert found.verdict.margins == {}


def test_one_kind_twice_with_options() -> None:
    late = {"kind": "lth", "rewind": "8ep", "rate": 0.5}
    found = study(methods={"lth": {}, "lth-late": late})
    assert list(found.methods) == ["lth", "lth-late"]
    assert found.methods["lth-late"].kind == "lth"
    assert found.methods["lth-late"].params == {
        "rate": 0.5,
        "rewind": "8ep",
        "allocation": "global",
    }
    assert found.methods["lth"].params["rewind"] == "0ep"


def test_a_whole_number_is_a_number_and_a_list_a_tuple() -> None:
    found = study(data={"squares": {"held_out": [8, 9]}}, training={"lr": 1})
    assert found.data["squares"].params["held_out"] == (8, 9)
    assert found.training.lr == 1.0
    assert isinstance(found.training.lr, float)


def test_the_profile_changes_what_the_study_leaves_open() -> None:
    paper = study(profile="paper", metrics={"ece": {}, "ece-20": {"kind": "ece", "bins": 20}})
    assert paper.metrics["ece"].params["bins"] == 14
    assert paper.metrics["ece-20"].params["bins"] == 20
    assert paper.pruning.prunable == ("conv",)
    assert study(profile="paper", pruning={"prunable": ["linear"]}).pruning.prunable == ("linear",)
    assert study(metrics=["ece"]).metrics["ece"].params["bins"] == 15


def test_the_ladder_is_the_papers_and_ascends() -> None:
    assert study(ladder={"rungs": [12, 1, 3]}).ladder.sparsities == (0.2, 0.488, 0.931280523264)
    assert study(ladder={"sparsities": [0.9, 0.5]}).ladder.sparsities == (0.5, 0.9)
    assert Ladder(rungs=(2,)).rungs == (2,)


def test_without_metrics_every_one_whose_needs_are_met() -> None:
    few = study("metrics")
    assert list(few.metrics) == ["accuracy", "churn", "ece"], "nothing with an open option"
    all_met = study("metrics", data={"squares": {"val_images": 5}}, ood={"noise": {}})
    assert list(all_met.metrics) == ["accuracy", "auroc", "churn", "ece", "temperature"]
    assert list(study(metrics=["churn"]).metrics) == ["churn"]


def test_a_star_is_all_that_would_be_measured_beside_what_is_named() -> None:
    both = study(metrics={"*": {}, "ece": {"bins": 3}, "ece-20": {"kind": "ece", "bins": 20}})
    assert list(both.metrics) == ["accuracy", "churn", "ece", "ece-20"]
    assert both.metrics["ece"].params["bins"] == 3
    assert list(study(metrics=["*"]).metrics) == list(study("metrics").metrics)
    with pytest.raises(StudyError, match=r"metrics\.\*: takes no options"):
        study(metrics={"*": {"bins": 3}})


def test_paths_are_found_under_the_data_root_then_beside_the_study(tmp_path: Path) -> None:
    root, beside = tmp_path / "root", tmp_path / "beside"
    for place in (root / "a", beside / "a", beside / "b"):
        place.mkdir(parents=True)
    (beside / "study.toml").write_text(
        """
        methods = ["random"]
        models = ["tiny"]
        data.squares.train = "a"
        data.squares.more = ["b", "a"]
        ladder.rungs = [1]
        """
    )
    found = Study.load(beside / "study.toml", data_root=root)
    assert found.name == "study"
    assert found.folders == (root, beside)
    assert found.data["squares"].params["train"] == root / "a"
    assert found.data["squares"].params["more"] == (beside / "b", root / "a")
    found = Study.load(beside / "study.toml")
    assert found.data["squares"].params["train"] == beside / "a"
    found = study(data={"squares": {"train": root / "a"}})
    assert found.data["squares"].params["train"] == root / "a"


def test_the_name_is_by_default_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "My Study (2).toml").write_text(study("name").text)
    assert Study.load(tmp_path / "My Study (2).toml").name == "my-study-2"


def test_its_text_makes_the_same_study() -> None:
    first = study(data={"squares": {"held_out": (9,)}}, training={"lr": 1e-05, "flip": True})
    assert Study.parse(first.text) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_study_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        study().training.lr = 3.0


def test_reading_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    study()
    assert torch.equal(torch.rand(3), expected)


def test_plugins_are_found_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "my_plugin_a.py").write_text(
        "from scratchcard.registry import metric\n"
        "@metric('mine', title='Mine', dimension='landscape', better='lower')\n"
        "def mine(logits): ...\n"
    )
    before = list(sys.path)
    found = study(base=tmp_path, plugins=["my_plugin_a"], metrics=["mine"])
    assert list(found.metrics) == ["mine"]
    assert sys.path == before
    wrong = complaints(base=tmp_path, plugins=["my_plugin_a", "not_there"])
    assert list(wrong) == ["plugins[1]"]
    assert "not_there" in wrong["plugins[1]"]


def test_importing_the_module_does_not_load_torch() -> None:
    check = "import sys, scratchcard.study; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


# --- What is said of a wrong one ----------------------------------------------------------------


def test_every_mistake_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(WRONG)
    with pytest.raises(UserError) as caught:
        Study.load(file)
    assert isinstance(caught.value, StudyError)
    found = {(p.line, p.key): p.message for p in caught.value.problems}
    assert found == {
        (3, "seeds[1]"): "-1 is negative; seeds are 0, 1, 2, ...",
        (6, "methods.magik"): 'unknown method "magik" (known: lth, random)',
        (8, "metrics.auroc"): "needs an out-of-distribution set, and the study has none: "
        "add a table such as [ood.gaussian-noise]",
        (11, "data.squares.train"): '"nowhere/train" does not exist '
        f"(looked for {tmp_path / 'nowhere/train'}; --data-root names another folder)",
        (16, "models.large"): "does not fit data.small (1x4x4 images in 10 classes): "
        "images of 4 pixels are too small; take 32 or more",
        (18, "models.tiny.widht"): 'unknown option; did you mean "width"? (known: width)',
        (20, "trainng"): 'unknown key or table; did you mean "training"? (known: name, profile, '
        "seeds, equal_budget, plugins, data, ood, transfer, concepts, models, methods, metrics, "
        "training, ladder, pruning, corruptions, verdict)",
        (24, "training.epochs"): 'must be a number, not "3"',
        (28, "ladder.rungs"): "listed twice: 6",
    }
    assert str(caught.value).splitlines()[0] == (
        f"{file}:3  seeds[1]: -1 is negative; seeds are 0, 1, 2, ..."
    )
    assert "pydantic" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems


def test_the_same_mistakes_from_python_have_no_lines() -> None:
    with pytest.raises(StudyError) as caught:
        study(seeds=[-1], nmae="x")
    assert [(p.line, p.key) for p in caught.value.problems] == [(None, "nmae"), (None, "seeds[0]")]
    assert str(caught.value).startswith("study  nmae: unknown key")


@pytest.mark.parametrize(
    ("table", "wrong", "key", "says"),
    [
        ("seeds", 0, "seeds", "take at least 1"),
        ("seeds", [], "seeds", "is empty"),
        ("seeds", [1, 1], "seeds", "listed twice: 1"),
        ("seeds", True, "seeds", "must be a count or a list, such as 5 or [0, 1, 2], not true"),
        ("seeds", [0.5], "seeds[0]", "must be a whole number, not 0.5"),
        ("name", "Big Name", "name", "small letters"),
        ("profile", "papr", "profile", 'did you mean "paper"?'),
        ("training", {"schedule": "cosin"}, "training.schedule", 'did you mean "cosine"?'),
        ("training", {"precision": "bf16"}, "training.precision", "is not one of 'float32'"),
        ("training", {"lr": 0}, "training.lr", "must be above 0, not 0"),
        ("training", {"lr": float("inf")}, "training.lr", "must be finite, not inf"),
        ("training", {"momentum": 1.0}, "training.momentum", "must be below 1, not 1.0"),
        ("training", {"flip": 1}, "training.flip", "must be true or false, not 1"),
        ("training", {"epochs": True}, "training.epochs", "must be a number, not true"),
        ("training", {"warmup": "9 epochs"}, "training.warmup", "'3ep' (epochs)"),
        ("training", {"warmup": "21ep"}, "training.warmup", "which has 20 epochs"),
        (
            "training",
            {"schedule": "step", "epochs": 3, "milestones": ["2ep", "4ep"]},
            "training.milestones",
            '"4ep" lies beyond the end of training, which has 3 epochs',
        ),
        ("training", {"gamma": 0.2}, "training.gamma", 'means nothing for schedule = "cosine"'),
        ("training", {"momentum": 0.0, "nesterov": True}, "training.nesterov", "momentum above"),
        ("training", 3, "training", "must be a table, not 3"),
        ("ladder", {"rungs": [0]}, "ladder.rungs[0]", "must be at least 1, not 0"),
        ("ladder", {"rungs": [-3]}, "ladder.rungs[0]", "must be at least 1, not -3"),
        ("ladder", {"sparsities": [0.5, 1.2]}, "ladder.sparsities[1]", "1.2 is no sparsity"),
        ("ladder", {"sparsities": [1 - 1e-13]}, "ladder.sparsities[0]", "is no sparsity"),
        ("ladder", {"sparsities": [0.5, 0.5]}, "ladder.sparsities", "listed twice: 0.5"),
        ("ladder", {"sparsities": [0.5], "rungs": [1]}, "ladder.sparsities", "give either"),
        ("ladder", {}, "ladder", "give either"),
        ("ladder", {"sparsities": [0.995]}, "methods.lth", "cannot reach 0.995"),
        ("pruning", {"prunable": []}, "pruning.prunable", "is empty"),
        ("pruning", {"prunable": ["con"]}, "pruning.prunable[0]", 'did you mean "conv"?'),
        ("verdict", {"margins": {"acuracy": 0.1}}, "verdict.margins.acuracy", '"accuracy"?'),
        ("verdict", {"margins": {"ece": 0.1}}, "verdict.margins.ece", "those that do: accuracy"),
        ("verdict", {"margins": {"ece": 0}}, "verdict.margins.ece", "must be above 0"),
        ("data", {}, "data", "is required"),
        ("data", "squares", "data", "must be a list of names or tables [data.LABEL]"),
        ("data", ["squares", "squares"], "data[1]", '"squares" is listed twice'),
        ("data", {"squares": {"side": 0}}, "data.squares", "side = 0 is not positive"),
        ("data", {"noise": {}}, "data.noise", "can only serve as an out-of-distribution set"),
        ("ood", {"held-out": {}}, "ood.held-out", "data.squares holds out none"),
        ("models", ["tyni"], "models.tyni", 'unknown model "tyni"; did you mean "tiny"?'),
        ("models", {"tiny": {"width": "2"}}, "models.tiny.width", 'must be a number, not "2"'),
        ("methods", [3], "methods[0]", "must be a name in quotes, not 3"),
        ("methods", {"lth": 0.3}, "methods.lth", "must be a table of options, not 0.3"),
        ("methods", {"x": {"kind": 3}}, "methods.x.kind", "must be a name in quotes, not 3"),
        ("methods", {"x": {"kind": "lht"}}, "methods.x.kind", 'did you mean "lth"?'),
        ("methods", {"dense": {"kind": "lth"}}, "methods.dense", "cannot be a label"),
        ("methods", {"a/b": {"kind": "lth"}}, "methods.a/b", "cannot be a label"),
        ("methods", {"lth": {"rate": 1.5}}, "methods.lth", "must lie between 0 and 1"),
        ("methods", {"lth": {"rewind": "21ep"}}, "methods.lth.rewind", "which has 20 epochs"),
        ("methods", {"lth": {"rewind": "soon"}}, "methods.lth.rewind", "step 'soon' is not one"),
        ("methods", {"lth": {"allocation": "even"}}, "methods.lth.allocation", "is not one of"),
        ("metrics", [], "metrics", "is empty"),
        ("metrics", ["temperature"], "metrics.temperature", "data.squares has none"),
        ("metrics", ["concept"], "metrics.concept.concept", "is required"),
        ("metrics", {"ece": {"norm": []}}, "metrics.ece.norm", "a number, not [], or must be text"),
        ("plugins", "mine", "plugins", 'must be a list in brackets, not "mine"'),
    ],
)
def test_one_mistake_gives_one_message(table: str, wrong: Any, key: str, says: str) -> None:
    both = {"methods": ["lth"], "metrics": ["accuracy", "ece"]}
    found = complaints(**{**both, table: wrong})
    assert list(found) == [key]
    assert says in found[key]


def test_what_is_missing_is_said_and_what_follows_from_it_is_not() -> None:
    missing = complaints("data", "models", "methods", "ladder")
    assert list(missing) == ["ladder", "data", "models", "methods"]
    no_data = complaints("metrics", data=["sqares"], models=["large"], metrics=["temperature"])
    assert list(no_data) == ["data.sqares"]


def test_a_missing_path_names_both_places(tmp_path: Path) -> None:
    raw = {**RIGHT, "data": {"squares": {"train": "x"}}}
    with pytest.raises(StudyError) as caught:
        Study.parse(raw, base=tmp_path / "base", data_root=tmp_path / "root")
    assert f"{tmp_path / 'root/x'} and {tmp_path / 'base/x'}" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a = 1\nseeds = = 2", 2, "column 9: Invalid value"),
        ("a = 1\n\nb =", 3, "Invalid value"),
        ('methods = ["random"]\n[methods.lth]', 2, "twice"),
    ],
)
def test_what_is_not_toml(text: str, line: int, says: str) -> None:
    with pytest.raises(StudyError) as caught:
        Study.parse(text)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert says in str(problem)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.toml  cannot be read: No such file"):
        Study.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(StudyError, match="not UTF-8 text"):
        Study.load(tmp_path / "latin.toml")


def test_a_value_that_no_file_could_hold() -> None:
    with pytest.raises(StudyError, match=r"training\.lr: None cannot be written"):
        study(training={"lr": None})


# --- With the real registries -------------------------------------------------------------------


def test_the_demo_is_a_study(real: None) -> None:
    text = resources.files("scratchcard").joinpath("demo.toml").read_text("utf-8")
    found = Study.parse(text, file="study.toml")
    assert found.name == "demo"
    assert list(found.methods) == ["random", "omp", "lth"]
    assert {"accuracy", "ood-auroc"} <= set(found.metrics)
    assert Step.parse(found.methods["lth"].params["rewind"]) == Step(1, "ep")


def test_the_demo_shows_every_key_and_only_right_ones(real: None) -> None:
    text = resources.files("scratchcard").joinpath("demo.toml").read_text("utf-8")
    for key in (*Study.model_fields, *Training.model_fields, *Ladder.model_fields, "prunable"):
        assert key in text or key in ("tasks", "text", "source", "folders")
    step = text.replace('schedule = "one-cycle"', 'schedule = "step"')
    for comment in ("milestones", "gamma", "netdissect", "held_out", "[ood.uniform"):
        assert f"\n# {comment}" in step
        step = step.replace(f"\n# {comment}", f"\n{comment}")
    found = Study.parse(step)
    shown = ("milestones", "gamma", "warmup", "crop", "flip", "label_smoothing", "clip_norm")
    for name in shown:
        default = getattr(Training(schedule="step"), name)
        assert getattr(found.training, name) == default, "what is shown as a default is one"
    assert found.data["digits"].params["held_out"] == (8, 9)


def test_real_kinds_refuse_in_words(real: None) -> None:
    raw = {
        "methods": {"lth": {"rewind": "30ep"}},
        "models": {"cifar-resnet": {"depth": 21}},
        "data": {"digits": {"held_out": [12]}, "again": {"kind": "digits", "val_images": 0}},
        "metrics": {"fgsm": {"epss": 0.1}},
        "ladder": {"rungs": [3]},
    }
    with pytest.raises(StudyError) as caught:
        Study.parse(raw)
    assert [problem.key for problem in caught.value.problems] == [
        "data.digits",
        "models.cifar-resnet",
        "methods.lth.rewind",
        "metrics.fgsm.epss",
    ]
