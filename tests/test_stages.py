"""What stages leave in the store, against what can be worked out by hand or by brute force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from scratchcard import training
from scratchcard.collect import collect
from scratchcard.data.digits import Digits
from scratchcard.data.files import fingerprint
from scratchcard.graph import Network, Plan, Stage
from scratchcard.masks import Masks
from scratchcard.metrics.interpretability.occlusion import Occluded, occlude
from scratchcard.metrics.measure import measure
from scratchcard.plan import build
from scratchcard.stages import execute
from scratchcard.stages.work import Work
from scratchcard.store import Store
from scratchcard.study import Study
from scratchcard.training import Trainee

STUDY = """
name = "stages"
seeds = [3]
metrics = ["accuracy"]
[data.digits]
train_images = 330
test_images = 100
[models.lenet]
[methods.random]
[methods.omp]
rewind = "2ep"
[methods.lth]
rate = 0.5904
rewind = "25it"
[ladder]
rungs = [4, 8]
[training]
epochs = 3
batch_size = 32
"""
OF_LIME = ("fidelity", "fidelity-r2", "stability", "stability-noise")
OCCLUDED = "[metrics]\n" + "\n".join(
    f"{name} = {{ images = 20, masks = 16, seed = 5 }}" for name in OF_LIME
)
PER_EPOCH, BATCH = 10, 32
TOTAL = 3 * PER_EPOCH


def ignore(fraction: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.parse(STUDY)


@pytest.fixture(scope="module")
def plan(study: Study) -> Plan:
    digits = Digits(**study.data["digits"].params)
    return build(study, {"data.digits": fingerprint(digits.files())})


@pytest.fixture(scope="module")
def store(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Every stage, run in this process."""
    store = Store(tmp_path_factory.mktemp("stages") / "store")
    for stage in plan.stages.values():
        execute(stage, store, ignore)
    return store


def network(plan: Plan, method: str, rung: int | None = None) -> Network:
    target = 0.0 if rung is None else round(1 - 0.8**rung, 12)
    (found,) = [n for n in plan.networks if (n.method, n.target) == (method, target)]
    return found


def stage_of(plan: Plan, label: str) -> Stage:
    (found,) = [s for s in plan.stages.values() if s.label.endswith(label)]
    return found


def weights(store: Store, digest: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix("model."): value
        for name, value in store.arrays(digest, "weights").items()
        if name.startswith("model.")
    }


def masks(store: Store, digest: str | None) -> Masks:
    assert digest is not None
    return Masks.unpack(store.arrays(digest, "masks"), store.result(digest)["shapes"])


@pytest.mark.parametrize("method", ["random", "omp", "lth"])
@pytest.mark.parametrize("rung", [4, 8])
def test_cut_weights_are_exactly_zero(plan: Plan, store: Store, method: str, rung: int) -> None:
    ticket = network(plan, method, rung)
    kept = masks(store, ticket.mask)
    trained = weights(store, ticket.weights)
    assert kept.kept == kept.total - round(ticket.target * kept.total)
    for name, mask in kept.items():
        assert not trained[name][~mask.numpy()].any()
    assert np.count_nonzero(np.concatenate([trained[n].ravel() for n in kept])) <= kept.kept


def test_one_shot_magnitude_is_a_sort_of_the_dense_weights(plan: Plan, store: Store) -> None:
    ticket = network(plan, "omp", 8)
    kept = masks(store, ticket.mask)
    dense = weights(store, network(plan, "dense").weights)
    flat = np.concatenate([np.abs(dense[name]).ravel() for name in kept])
    largest = set(np.argsort(-flat, kind="stable")[: kept.kept])
    chosen = np.flatnonzero(np.concatenate([kept[name].numpy().ravel() for name in kept]))
    assert set(chosen) == largest


def test_each_round_of_the_lottery_cuts_from_the_one_before(plan: Plan, store: Store) -> None:
    first, second = (masks(store, network(plan, "lth", rung).mask) for rung in (4, 8))
    assert all(not (second[name] & ~first[name]).any() for name in first)
    trained = weights(store, network(plan, "lth", 4).weights)
    flat = np.concatenate([np.abs(trained[name]).ravel() for name in first])
    largest = set(np.argsort(-flat, kind="stable")[: second.kept])
    chosen = np.flatnonzero(np.concatenate([second[name].numpy().ravel() for name in second]))
    assert set(chosen) == largest


def test_budgets_by_hand(study: Study, plan: Plan, store: Store, tmp_path: Path) -> None:
    results = collect(study, plan, store, tmp_path)
    by = {(m.network.method, m.network.target): m for m in results.networks}
    dense = by["dense", 0.0]
    assert (dense.train.images, dense.find.images) == (TOTAL * BATCH, 0)
    assert len(dense.losses) == TOTAL // PER_EPOCH
    assert 0 < dense.losses[-1] < dense.losses[0]
    assert dense.kept == dense.prunable == by["omp", 0.5904].prunable
    random = by["random", 0.5904]
    assert (random.train.images, random.find.images) == (TOTAL * BATCH, 0)
    omp = by["omp", 0.5904]
    assert omp.train.images == (TOTAL - 2 * PER_EPOCH) * BATCH
    assert omp.find.images == TOTAL * BATCH
    lth = by["lth", network(plan, "lth", 8).target]
    assert lth.train.images == (TOTAL - 25) * BATCH
    assert lth.find.images == (TOTAL + TOTAL - 25) * BATCH
    # Two convolutions (5x5, same padding, 8x8 and 4x4 positions) and three linear layers.
    macs = 6 * 25 * 64 + 16 * 6 * 25 * 16 + 64 * 120 + 120 * 84 + 84 * 10
    assert dense.train.flops == 3 * 2 * macs * TOTAL * BATCH


def test_a_ticket_starts_from_the_dense_weights_of_its_step(plan: Plan, store: Store) -> None:
    stage = plan.stages[network(plan, "omp", 4).weights]
    start = plan.stages[stage.inputs["start"]]
    assert start.params["step"] == "2ep"
    assert store.result(start.digest)["progress"]["step"] == 2 * PER_EPOCH
    kept = masks(store, stage.inputs["mask"])
    early = weights(store, start.digest)
    late = weights(store, stage.digest)
    moved = [not np.array_equal(early[n][m.numpy()], late[n][m.numpy()]) for n, m in kept.items()]
    assert all(moved)


def test_checkpoints_of_a_trajectory_lead_to_the_same_end(
    plan: Plan, store: Store, tmp_path: Path
) -> None:
    """The dense end was reached by way of 25 steps and 2 epochs; straight there it is equal."""
    end = plan.stages[network(plan, "dense").weights]
    assert len(end.after) == 3
    alone = Stage(end.kind, end.version, end.params, end.inputs, local=end.local)
    assert alone.digest == end.digest
    other = Store(tmp_path / "store")
    execute(plan.stages[end.inputs["data"]], other, ignore)
    execute(alone, other, ignore)
    for name, value in weights(store, end.digest).items():
        assert np.array_equal(value, weights(other, end.digest)[name])


def test_a_killed_training_goes_on_from_its_checkpoint(
    plan: Plan, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = plan.stages[network(plan, "random", 4).weights]
    other = Store(tmp_path / "store")
    for digest in plan.ancestors(ticket.digest) - {ticket.digest}:
        other.commit(
            digest,
            result=store.result(digest),
            provenance={},
            arrays={
                p.stem: store.arrays(digest, p.stem)
                for p in (store.root / digest[:2] / digest).glob("*.safetensors")
            },
        )

    class KilledError(Exception):
        pass

    def until(step: int) -> Callable[[Trainee, Path], None]:
        def save(trainee: Trainee, path: Path) -> None:
            original(trainee, path)
            if trainee.step == step:
                raise KilledError

        return save

    original = Trainee.save
    at_once = {"interval": -1.0, **(training.train.__kwdefaults__ or {})} | {"interval": -1.0}
    monkeypatch.setattr(training.train, "__kwdefaults__", at_once)
    monkeypatch.setattr(Trainee, "save", until(17))
    with pytest.raises(KilledError):
        execute(ticket, other, ignore)
    assert not other.has(ticket.digest)

    steps: list[int] = []
    monkeypatch.setattr(Trainee, "save", lambda trainee, path: steps.append(trainee.step))
    load = Trainee.load

    def late(trainee: Trainee, path: Path) -> bool:
        loaded = load(trainee, path)
        trainee.earlier += 100.0
        return loaded

    monkeypatch.setattr(Trainee, "load", late)
    execute(ticket, other, ignore)
    assert other.provenance(ticket.digest)["seconds"] > 100, "what was spent before counts"
    assert steps == list(range(18, TOTAL + 1)), "it went on where it was"
    for name, value in weights(store, ticket.digest).items():
        assert np.array_equal(value, weights(other, ticket.digest)[name])


def test_logits_are_the_networks(plan: Plan, store: Store) -> None:
    stage = next(s for s in plan.stages.values() if s.kind == "logits")
    work = Work(stage, store, ignore)
    with torch.no_grad():
        expected = work.network("network")(work.images("test").floats()).numpy()
    found = store.arrays(stage.digest, "logits")["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_answers_to_occluded_images_are_the_networks(plan: Plan, store: Store) -> None:
    """Shared by the metrics that a network is measured with, in a study as in one's own process."""
    study = Study.parse(STUDY.replace('metrics = ["accuracy"]', OCCLUDED))
    digits = Digits(**study.data["digits"].params)
    wider = build(study, {"data.digits": fingerprint(digits.files())})
    for stage in wider.stages.values():
        if stage.kind == "occlude" or stage.params.get("kind") in OF_LIME:
            execute(stage, store, ignore)
    network = next(one for one in wider.networks if one.method == "omp")
    measured = {name: wider.stages[network.measures[name]] for name in OF_LIME}
    (asked,) = {stage.inputs["occluded_logits"] for stage in measured.values()}
    work = Work(wider.stages[asked], store, ignore)
    model, test = work.network("network"), work.images("test")
    direct = occlude(model, test, images=20, masks=16, seed=5)
    kept = Occluded.unpack(store.arrays(asked, "occluded"))
    for field in fields(Occluded):
        assert torch.equal(getattr(kept, field.name), getattr(direct, field.name)), field.name
    for name, stage in measured.items():
        reading = measure(model, name, test, images=20, masks=16, seed=5)
        assert store.result(stage.digest)["value"] == reading.value, name
        assert store.result(stage.digest)["params"] == reading.params


def test_a_missing_split_is_named(plan: Plan, store: Store) -> None:
    stage = next(s for s in plan.stages.values() if s.kind == "logits")
    with pytest.raises(ValueError, match="the data has no held_out split"):
        Work(stage, store, ignore).images("held_out")
