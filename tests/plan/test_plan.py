"""Plans are pure, digests hold exactly what changes numbers, and old digests never move."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from scratchcard.graph import Plan
from scratchcard.plan import build
from scratchcard.study import Study

PINNED = Path(__file__).parent / "pinned_digests.json"
PRINTS = {"data.digits": "d1", "ood.gaussian-noise": "g1"}


def small(**changes: Any) -> Study:
    raw: dict[str, Any] = {
        "name": "small",
        "seeds": [0],
        "metrics": ["accuracy", "ood-auroc"],
        "data": {"digits": {}},
        "ood": {"gaussian-noise": {}},
        "models": {"lenet": {}},
        "methods": {
            "random": {},
            "omp": {"rewind": "1ep"},
            "lth": {"rate": 0.2, "rewind": "1ep"},
        },
        "training": {"epochs": 4},
        "ladder": {"rungs": [1, 3]},
    }
    return Study.parse(raw | changes)


def digests(plan: Plan) -> dict[str, str]:
    return {stage.label: stage.digest for stage in plan.stages.values()}


def test_a_dozen_digests_are_pinned() -> None:
    """If this fails, results of old studies would be lost: bump a version on purpose instead."""
    found = digests(build(small(), PRINTS))
    pinned = json.loads(PINNED.read_text())
    assert len(pinned) >= 12
    assert {label: found[label] for label in pinned} == pinned


def test_counts_of_stages() -> None:
    plan = build(small(), PRINTS)
    kinds = Counter(stage.kind for stage in plan.stages.values())
    # Dense at 0, 1 and 4 epochs; random and omp once a rung; lth in three rounds.
    assert kinds["train"] == 3 + 2 + 2 + 3
    assert kinds["mask"] == 2 + 2 + 3
    assert len(plan.networks) == 1 + 3 * 2
    assert kinds["logits"] == 2 * len(plan.networks)
    assert kinds["measure"] == 2 * len(plan.networks)


def occluding(metrics: list[str] | dict[str, Any], **changes: Any) -> Counter[str]:
    """How many stages of occluded images there are, by the end of their label."""
    stages = build(small(metrics=metrics, **changes), PRINTS).stages.values()
    return Counter(s.label.rpartition(" · ")[2] for s in stages if s.kind == "occlude")


def test_metrics_of_equal_options_share_the_answers_to_occluded_images() -> None:
    networks = len(build(small(), PRINTS).networks)
    shared = occluding(["fidelity", "fidelity-r2", "stability", "accuracy"])
    assert shared == {"logits of occluded images": networks}


def test_other_options_and_the_paper_have_answers_of_their_own() -> None:
    networks = len(build(small(), PRINTS).networks)
    other = {"fidelity": {}, "stability": {"masks": 64}, "fidelity-r2": {"masks": 64}}
    assert occluding(other) == {
        "logits of occluded images": networks,
        "logits of occluded images (masks = 64)": networks,
    }
    paper = occluding(["fidelity", "stability"], profile="paper")
    assert paper == {
        "logits of occluded images (images = 100, first = True, masks = 1000)": networks
    }


def test_the_twin_is_asked_once_for_all_its_tickets() -> None:
    plan = build(small(metrics=["explanation-agreement"]), PRINTS)
    (asked,) = (stage for stage in plan.stages.values() if stage.kind == "occlude")
    assert asked.inputs["network"] == plan.networks[0].weights
    assert asked.params == {"images": 100, "masks": 256}
    measured = [stage for stage in plan.stages.values() if stage.kind == "measure"]
    assert len(measured) == len(plan.networks) - 1
    assert {stage.inputs["dense_occluded_logits"] for stage in measured} == {asked.digest}


def test_stages_come_after_what_they_wait_for() -> None:
    plan = build(small(), PRINTS)
    seen: set[str] = set()
    for digest, stage in plan.stages.items():
        assert set(stage.waits_for) <= seen
        seen.add(digest)


def test_rounds_of_the_lottery_are_shared_by_the_rungs() -> None:
    one = build(small(ladder={"rungs": [3]}), PRINTS)
    two = build(small(ladder={"rungs": [1, 2, 3]}), PRINTS)
    lth = {digest for digest, stage in one.stages.items() if stage.label.startswith("lth")}
    assert lth < two.stages.keys()


def test_the_dense_twin_does_not_depend_on_who_rewinds_where() -> None:
    early = build(small(methods={"lth": {"rewind": "1ep"}}), PRINTS)
    late = build(small(methods={"lth": {"rewind": "2ep"}}), PRINTS)
    assert early.networks[0].weights == late.networks[0].weights
    assert early.networks[1].weights != late.networks[1].weights


def test_what_is_no_number_is_not_in_a_digest() -> None:
    plain = build(small(), PRINTS)
    renamed = build(
        small(
            name="other",
            data={"pictures": {"kind": "digits"}},
            models={"net": {"kind": "lenet"}},
            verdict={"margins": {"accuracy": 0.5}},
        ),
        {"data.pictures": "d1", "ood.gaussian-noise": "g1"},
    )
    spelled_out = build(small(models={"lenet": {"width": 1.0}}), PRINTS)
    assert plain.stages.keys() == renamed.stages.keys() == spelled_out.stages.keys()


def test_what_changes_numbers_changes_digests() -> None:
    plain = build(small(), PRINTS)
    kept = {
        "data": build(small(), PRINTS | {"data.digits": "d2"}),
        "device": build(small(), PRINTS, device="cuda"),
        "training": build(small(training={"epochs": 4, "lr": 0.05}), PRINTS),
        "model": build(small(models={"lenet": {"width": 2.0}}), PRINTS),
        "seed": build(small(seeds=[1]), PRINTS),
    }
    for what, other in kept.items():
        trained = {d for d, s in other.stages.items() if s.kind != "data"}
        assert not trained & plain.stages.keys(), what


def test_a_method_sees_its_own_options_only() -> None:
    plain = build(small(), PRINTS)
    other = build(
        small(methods={"random": {}, "omp": {"rewind": "1ep", "allocation": "uniform"}}), PRINTS
    )
    random = {d for d, s in plain.stages.items() if s.label.startswith("random")}
    omp = {d for d, s in plain.stages.items() if s.label.startswith("omp") and s.kind == "mask"}
    assert random <= other.stages.keys()
    assert not omp & other.stages.keys()


def test_equal_moments_have_one_spelling() -> None:
    plain = build(small(), PRINTS)
    same = build(
        small(methods={"random": {}, "omp": {"rewind": "1.0ep"}, "lth": {"rewind": "1ep"}}), PRINTS
    )
    trained = {d for d, s in plain.stages.items() if s.label.startswith("dense")}
    assert trained <= same.stages.keys()


def test_the_snapshot_is_the_plan() -> None:
    plan = build(small(), PRINTS)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert list(again.stages) == list(plan.stages)
