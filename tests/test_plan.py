"""Plans are pure, digests hold exactly what changes numbers, and old digests never move."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from scratchcard.graph import Plan
from scratchcard.plan import build
from scratchcard.study import Study

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
    pinned = json.loads(PINNED)
    assert {label: found[label] for label in pinned} == pinned


PINNED = """{
  "data digits": "565b95e56384ddc579462d61570766f1",
  "ood gaussian-noise": "975ee67e77f1a1f549ad8100dea6f476",
  "dense · digits · lenet · seed 0 · train to 0ep": "2f363686e7d8418f7786eebd54af93dc",
  "dense · digits · lenet · seed 0 · train to 1ep": "88524c3ffe6f308c41fa70b75266292c",
  "dense · digits · lenet · seed 0 · train to end": "f2db16d8046492b2b8b2dcf45ca5a43a",
  "dense · digits · lenet · seed 0 · logits of test": "06869b3282a20e83063ace88816c3635",
  "dense · digits · lenet · seed 0 · accuracy": "317ad65fb166bab4fa85703b63441f68",
  "dense · digits · lenet · seed 0 · logits of gaussian-noise": "cd8c9958968a80cc89f42a638267e0e8",
  "dense · digits · lenet · seed 0 · ood-auroc": "85eba15360362ff7cbfc386f8133f77a",
  "lth 20.0% · digits · lenet · seed 0 · mask": "b4dd83791a7a880cb926934be8dbb434",
  "lth 20.0% · digits · lenet · seed 0 · train to end": "e0f4da50a1f0f576e8769314dd2da3bd",
  "lth 20.0% · digits · lenet · seed 0 · logits of test": "b6881adb4866ffd5c3b51102117ed97f",
  "lth 20.0% · digits · lenet · seed 0 · accuracy": "44d34fbc41cd3b14192bd704015b41d8",
  "lth 20.0% · digits · lenet · seed 0 · logits of gaussian-noise": "98d81336812d60b198001fc18156b19b"
}
"""


def test_counts_of_stages() -> None:
    plan = build(small(), PRINTS)
    kinds = Counter(stage.kind for stage in plan.stages.values())
    # Dense at 0, 1 and 4 epochs; random and omp once a rung; lth in three rounds.
    assert kinds["train"] == 3 + 2 + 2 + 3
    assert kinds["mask"] == 2 + 2 + 3
    assert len(plan.networks) == 1 + 3 * 2
    assert kinds["logits"] == 2 * len(plan.networks)
    assert kinds["measure"] == 2 * len(plan.networks)


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
