"""Wrong options of methods are named where they stand, before anything is trained."""

from typing import Any

import pytest

from scratchcard.registry import METHODS, MODELS, model
from scratchcard.study import Study
from scratchcard.study.problems import StudyError


def complaint(methods: dict[str, Any], **changes: Any) -> str:
    raw = {
        "data": {"digits": {}},
        "models": {"lenet": {}},
        "methods": methods,
        "ladder": {"sparsities": [0.5]},
        "training": {"epochs": 2},
    }
    with pytest.raises(StudyError) as found:
        Study.parse(raw | changes)
    return str(found.value)


@pytest.mark.parametrize(
    ("methods", "says"),
    [
        ({"omp": {"retrain": "finetune"}}, 'did you mean "fine-tuning"'),
        ({"omp": {"allocation": "erkk"}}, 'did you mean "erk"'),
        ({"omp": {"pattern": "4:2"}}, "4:2"),
        ({"omp": {"pattern": "2:4", "allocation": "erk"}}, "means nothing"),
        ({"gmp": {"since": "0.8", "until": "0.5"}}, "lies after until"),
        ({"gmp": {"until": "5ep"}}, "lies beyond the end of training, which has 2 epochs"),
        ({"rigl": {"until": "5ep"}}, "lies beyond the end of training, which has 2 epochs"),
        ({"channels-early": {"tau": 2.0}}, "tau = 2.0"),
        ({"long-dense": {"rewind": "3ep"}}, "lies beyond the end of training, which has 2 epochs"),
        ({"lth": {}, "shuffled": {"of": "lht"}}, '"lht" is no method of this study'),
        ({"shuffled": {"of": "channels"}, "channels": {}}, "so it has no mask to look at"),
        ({"shuffled": {"of": "s"}, "s": {"kind": "shuffled", "of": "lth"}, "lth": {}}, "itself"),
        ({"sign-flipped": {"of": "lrr"}, "lrr": {}}, "goes on from trained weights"),
        ({"shuffled": {}, "lth": {}}, "is required"),
    ],
)
def test_wrong_options_are_named(methods: dict[str, Any], says: str) -> None:
    assert says in complaint(methods)


def test_a_model_without_prunable_weights() -> None:
    found = complaint({"lth": {}}, models={"mlp": {}}, pruning={"prunable": ["conv"]})
    assert "pruning.prunable" in found
    assert "no conv weights to prune" in found


def test_a_model_that_cannot_be_made_narrower() -> None:
    MODELS.names()
    known = dict(MODELS._specs)
    try:
        model("rigid")(MODELS.get("mlp").target)
        found = complaint({"small-dense": {}}, models={"rigid": {}})
    finally:
        MODELS._specs.clear()
        MODELS._specs.update(known)
    assert "models.rigid cannot be (those that can: cifar-resnet, lenet" in found


def test_every_method_is_accepted_with_its_defaults() -> None:
    controls = {"shuffled", "reinitialised", "sign-flipped"}
    methods = {name: {"of": "lth"} if name in controls else {} for name in METHODS.names()}
    study = Study.parse(
        {
            "data": {"digits": {}},
            "models": {"lenet": {}},
            "methods": methods,
            "ladder": {"sparsities": [0.5]},
        }
    )
    assert list(study.methods) == METHODS.names()
