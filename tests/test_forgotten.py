"""Which images are forgotten: against counting by hand, and with the pictures of the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scratchcard.collect import collect
from scratchcard.contracts import Reading
from scratchcard.data.digits import Digits
from scratchcard.data.files import fingerprint
from scratchcard.forgotten import MOST, Forgotten, most_forgotten
from scratchcard.plan import build
from scratchcard.results import Results, Rung, Share
from scratchcard.stages import execute
from scratchcard.store import Store
from scratchcard.study import Study
from tests.factory import make_results

RUNG = Rung("digits", "mlp", 0.5)


def answered(right: Mapping[tuple[str, int], list[int]], controls: tuple[str, ...] = ()) -> Results:
    """Networks at one rung by (method, seed), with what each gets right."""
    methods = tuple(dict.fromkeys(method for method, _ in right if method != "dense"))
    made = make_results(
        methods=methods, targets=(0.5,), seeds=3, metrics=("accuracy",), controls=controls
    )
    networks = []
    for m in made.networks:
        examples = right.get((m.network.method, m.network.seed))
        found = (
            {"accuracy": Reading(0.0, 0.0, 1, examples=np.array(examples, np.float64))}
            if examples is not None
            else {}
        )
        networks.append(replace(m, readings=found))
    return replace(made, networks=tuple(networks))


def test_the_most_damaged_come_first_and_ties_go_by_index() -> None:
    results = answered(
        {
            ("dense", 0): [1, 1, 0, 1, 1, 1],
            ("dense", 1): [1, 0, 0, 1, 1, 1],
            ("lth", 0): [0, 0, 1, 1, 1, 0],
            ("lth", 1): [1, 0, 0, 1, 1, 1],
            ("omp", 1): [1, 1, 0, 1, 0, 0],
        }
    )
    # Lost of dense: 1 - 2/3, 1/2 - 1/3, 0 - 1/3, 0, 1 - 2/3, 1 - 1/3; only losses are kept.
    assert most_forgotten(results) == {
        RUNG: (
            Forgotten(5, Share(2, 2), Share(1, 3)),
            Forgotten(0, Share(2, 2), Share(2, 3)),
            Forgotten(4, Share(2, 2), Share(2, 3)),
            Forgotten(1, Share(1, 2), Share(1, 3)),
        )
    }


def test_equal_shares_are_ties_whatever_the_counts() -> None:
    """In floating point 1 - 2/3 is more than 2/3 - 1/3, and the later image would come first."""
    assert 1 - 2 / 3 > 2 / 3 - 1 / 3
    dense = {("dense", 0): [1, 1], ("dense", 1): [1, 1], ("dense", 2): [0, 1]}
    sparse = {("lth", 0): [1, 1], ("lth", 1): [0, 1], ("lth", 2): [0, 0]}
    (found,) = most_forgotten(answered(dense | sparse)).values()
    assert [image.index for image in found] == [0, 1]


def test_controls_do_not_count() -> None:
    right = {("dense", 0): [1, 1], ("lth", 0): [1, 0], ("random", 0): [0, 1]}
    (found,) = most_forgotten(answered(right, controls=("random",))).values()
    assert found == (Forgotten(1, Share(1, 1), Share(0, 1)),)


def test_no_more_than_a_sheet() -> None:
    right = {("dense", 0): [1] * 40, ("lth", 0): [0] * 40}
    (found,) = most_forgotten(answered(right)).values()
    assert [image.index for image in found] == list(range(MOST))


@pytest.mark.parametrize(
    "results",
    [
        make_results(metrics=("nll",), seeds=1, examples=20),
        make_results(methods=(), seeds=1, examples=20),
        answered({("dense", 0): [0, 1], ("lth", 0): [1, 1]}),
        answered({("lth", 0): [0, 1]}),
        answered({("dense", 0): [1, 1]}),
    ],
    ids=["no accuracy", "no tickets", "nothing damaged", "no dense", "tickets failed"],
)
def test_nothing_to_show(results: Results) -> None:
    assert most_forgotten(results) == {}


STUDY = """
name = "forgetful"
seeds = [0, 1]
metrics = ["accuracy"]
[data.digits]
train_images = 400
test_images = 150
[models.mlp]
hidden = [12]
[methods.random]
[ladder]
rungs = [16]
[training]
epochs = 4
batch_size = 32
lr = 0.1
"""


def test_collect_adds_the_pictures_and_their_classes(tmp_path: Path) -> None:
    study, store = Study.parse(STUDY), Store(tmp_path / "store")
    digits = Digits(**study.data["digits"].params)
    plan = build(study, {"data.digits": fingerprint(digits.files())})
    for stage in plan.stages.values():
        execute(stage, store, lambda fraction: None)
    results = collect(study, plan, store, tmp_path)
    ((rung, pictures),) = results.sheets.items()
    assert (rung.data, rung.model) == ("digits", "mlp")
    assert [picture.index for picture in pictures] == [
        image.index for image in most_forgotten(results)[rung]
    ]
    test = digits.splits().test
    for picture in pictures:
        assert picture.pixels.dtype == np.uint8
        assert (picture.pixels == test.pixels[picture.index].numpy()).all()
        assert picture.label == str(int(test.labels[picture.index]))
        assert picture.dense.of == picture.sparse.of == 2
