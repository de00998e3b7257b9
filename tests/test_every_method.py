"""One small study with every method: what each leaves in the store is what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scratchcard.collect import collect
from scratchcard.data.digits import Digits
from scratchcard.data.files import fingerprint
from scratchcard.graph import Network, Plan
from scratchcard.long_table import cost_table
from scratchcard.masks import Masks
from scratchcard.plan import build
from scratchcard.pruning.pattern import Pattern
from scratchcard.registry import METHODS
from scratchcard.results import Measured, Results
from scratchcard.stages import execute
from scratchcard.store import Store
from scratchcard.study import Study

EPOCHS, TARGET = 2, 0.8
OWN: dict[str, dict[str, Any]] = {
    "lth": {"rate": 0.5, "rewind": "0.25"},
    "omp": {"rewind": "0.25"},
    "lrr": {"rate": 0.5},
    "shuffled": {"of": "lth"},
    "reinitialised": {"of": "lth"},
    "sign-flipped": {"of": "omp"},
    "synflow": {"iterations": 5},
}
"""Options of the methods that need some, or are slow without."""
EXTRA = {
    "fine-tuned": {"kind": "omp", "retrain": "fine-tuning"},
    "static-erk": {"kind": "random", "allocation": "erk"},
    "two-of-four": {"kind": "omp", "pattern": "2:4"},
    "shuffled-rigl": {"kind": "shuffled", "of": "rigl"},
}
RAW: dict[str, Any] = {
    "name": "every",
    "seeds": [3],
    "metrics": ["accuracy", "effective-sparsity", "mask-overlap"],
    "data": {"digits": {"train_images": 330, "test_images": 100}},
    "models": {"cifar-resnet": {"depth": 8, "width": 4, "shortcut": "B"}},
    "methods": {name: OWN.get(name, {}) for name in METHODS.names()} | EXTRA,
    "ladder": {"sparsities": [TARGET]},
    "training": {"epochs": EPOCHS, "batch_size": 32},
}


def run(raw: dict[str, Any], folder: Path) -> tuple[Plan, Store, Results]:
    """Every stage, in this process."""
    study = Study.parse(raw)
    digits = Digits(**study.data["digits"].params)
    plan = build(study, {"data.digits": fingerprint(digits.files())})
    store = Store(folder / "store")
    for stage in plan.stages.values():
        execute(stage, store, lambda fraction: None)
    return plan, store, collect(study, plan, store, folder)


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Store, Results]:
    return run(RAW, tmp_path_factory.mktemp("every"))


def network(plan: Plan, method: str) -> Network:
    (found,) = [n for n in plan.networks if n.method == method]
    return found


def measured(results: Results, method: str) -> Measured:
    (found,) = [m for m in results.networks if m.network.method == method]
    return found


def masks(store: Store, network: Network) -> Masks:
    assert network.mask is not None
    return Masks.unpack(store.arrays(network.mask, "masks"), store.result(network.mask)["shapes"])


def weights(store: Store, digest: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix("model."): value
        for name, value in store.arrays(digest, "weights").items()
        if name.startswith("model.")
    }


SMALLER = ("channels", "channels-init", "channels-early", "small-dense")
DENSE = ("long-dense",)
MASKED = sorted(set(RAW["methods"]) - {*SMALLER, *DENSE, "two-of-four"})


@pytest.mark.parametrize("method", MASKED)
def test_masks_are_exact_and_cut_weights_are_zero(
    every: tuple[Plan, Store, Results], method: str
) -> None:
    plan, store, results = every
    ticket = network(plan, method)
    kept = masks(store, ticket)
    assert kept.kept == kept.total - round(TARGET * kept.total)
    trained = weights(store, ticket.weights)
    for name, mask in kept.items():
        assert not trained[name][~mask.numpy()].any()
    assert measured(results, method).kept == kept.kept


def test_a_pattern_sits_at_its_own_sparsity(every: tuple[Plan, Store, Results]) -> None:
    plan, store, _ = every
    ticket = network(plan, "two-of-four")
    assert ticket.target == 0.5
    assert Pattern.parse("2:4").holds(masks(store, ticket))


@pytest.mark.parametrize("method", SMALLER)
def test_smaller_networks_are_really_smaller(
    every: tuple[Plan, Store, Results], method: str
) -> None:
    _, store, results = every
    found, dense = measured(results, method), measured(results, "dense")
    real = sum(
        value.size
        for name, value in weights(store, found.network.weights).items()
        if value.ndim in (2, 4)
    )
    assert found.kept == real
    assert found.prunable == dense.prunable
    assert found.sparsity == 1 - real / found.prunable
    assert abs(found.sparsity - TARGET) < 0.05
    assert found.parameters < 0.4 * dense.parameters
    assert found.train.flops < dense.train.flops
    assert found.missing["mask-overlap"].startswith("not applicable: it has no mask")


def test_the_long_dense_network_is_dense_and_long(every: tuple[Plan, Store, Results]) -> None:
    _, _, results = every
    found, dense = measured(results, "long-dense"), measured(results, "dense")
    assert found.sparsity == 0
    # 1 - 0.8**8 is 83 %: eight rounds of lottery tickets, so nine trainings.
    assert found.train.images == 9 * dense.train.images


def test_controls_undo_one_thing(every: tuple[Plan, Store, Results]) -> None:
    plan, store, _ = every
    lth, omp = (masks(store, network(plan, name)) for name in ("lth", "omp"))
    shuffled = masks(store, network(plan, "shuffled"))
    assert shuffled != lth
    assert shuffled.layers() == lth.layers()
    assert masks(store, network(plan, "reinitialised")) == lth
    assert masks(store, network(plan, "sign-flipped")) == omp
    rigl = masks(store, network(plan, "rigl"))
    assert masks(store, network(plan, "shuffled-rigl")).layers() == rigl.layers()


def test_controls_start_where_they_should(every: tuple[Plan, Store, Results]) -> None:
    """The same step as the method they look at, but for weights drawn anew."""
    _, _, results = every
    images = {m: measured(results, m).train.images for m in RAW["methods"]}
    assert images["shuffled"] == images["lth"] < images["random"]
    assert images["sign-flipped"] == images["omp"]
    assert images["reinitialised"] == images["random"]


def test_dynamic_masks_are_no_longer_those_they_began_with(
    every: tuple[Plan, Store, Results],
) -> None:
    plan, store, _ = every
    for method in ("rigl", "set", "gmp"):
        ticket = network(plan, method)
        begun = plan.stages[plan.stages[ticket.weights].inputs["mask"]].digest
        start = Masks.unpack(store.arrays(begun, "masks"), store.result(begun)["shapes"])
        end = masks(store, ticket)
        assert start != end
        if method == "gmp":
            assert start.sparsity == 0
        else:
            assert start.layers() == end.layers()


def test_trained_weights_are_kept_where_the_method_says_so(
    every: tuple[Plan, Store, Results],
) -> None:
    """Fine-tuning hardly moves the weights; a rewound ticket ends elsewhere."""
    plan, store, _ = every
    dense = weights(store, network(plan, "dense").weights)
    kept = masks(store, network(plan, "fine-tuned"))

    def distance(method: str) -> float:
        trained = weights(store, network(plan, method).weights)
        moved = [np.square(trained[n] - dense[n])[m.numpy()].sum() for n, m in kept.items()]
        return float(np.sqrt(sum(moved)))

    assert masks(store, network(plan, "omp")) == kept
    assert distance("fine-tuned") < 0.2 * distance("omp")


def test_every_budget_is_told(every: tuple[Plan, Store, Results]) -> None:
    _, _, results = every
    dense = measured(results, "dense").train.images
    rows: dict[Any, Any] = {row["method"]: row for row in cost_table(results)}
    for method in ("random", "snip", "grasp", "synflow", "rigl", "set", "gmp", "static-erk"):
        assert rows[method]["train_images"] == dense, method
        assert rows[method]["find_images"] == 0, method
    assert rows["fine-tuned"]["find_images"] == rows["fine-tuned"]["train_images"] == dense
    # Three rounds at 50 %; each but the first training begins at a quarter.
    assert rows["lth"]["find_images"] == dense + 2 * rows["lth"]["train_images"]
    early = rows["channels-early"]
    assert early["find_images"] + early["train_images"] == dense
    assert 0 < early["find_images"] < dense
    assert rows["dense"]["train_epochs"] == pytest.approx(EPOCHS * 320 / 330)


def test_overlap_is_measured_between_masks(every: tuple[Plan, Store, Results]) -> None:
    plan, store, results = every
    parts = measured(results, "omp").readings["mask-overlap"].parts
    assert parts["fine-tuned"].value == 1
    assert not {"two-of-four", "omp", *SMALLER} & set(parts)
    lth, omp = (masks(store, network(plan, name)) for name in ("lth", "omp"))
    assert parts["lth"].value == omp.overlap(lth)


def test_two_runs_give_the_same_bits(every: tuple[Plan, Store, Results], tmp_path: Path) -> None:
    """Resumed or not: here the dynamic methods and channels, which hold most state."""
    plan, store, _ = every
    few = {name: RAW["methods"][name] for name in ("rigl", "gmp", "channels-early")}
    other_plan, other, _ = run(RAW | {"methods": few, "metrics": ["accuracy"]}, tmp_path)
    for method in few:
        digest = network(other_plan, method).weights
        assert digest == network(plan, method).weights
        for name, value in weights(other, digest).items():
            assert np.array_equal(value, weights(store, digest)[name]), (method, name)


def test_equal_budgets_are_equal(tmp_path: Path) -> None:
    few = {name: RAW["methods"][name] for name in ("random", "omp", "lth", "lrr", "long-dense")}
    raw = RAW | {"methods": few, "metrics": ["accuracy"], "equal_budget": True}
    raw |= {"training": {"epochs": 4, "batch_size": 32}}
    _, _, results = run(raw, tmp_path)
    budgets = {m.network.method: (m.train.images + m.find.images) / 32 for m in results.networks}
    assert budgets["dense"] == budgets["random"] == 40
    for method, steps in budgets.items():
        # Half a step for each of at most four trainings.
        assert abs(steps - 40) <= 2, (method, steps)


def test_torch_is_left_alone(every: tuple[Plan, Store, Results]) -> None:
    """A last look: nothing above seeds or moves torch's own random numbers."""
    before = torch.get_rng_state()
    plan, store, _ = every
    execute(plan.stages[network(plan, "rigl").weights], store, lambda fraction: None)
    assert torch.equal(before, torch.get_rng_state())
