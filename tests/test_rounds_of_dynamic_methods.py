"""Methods that combine hooks which no built-in one combines, and budgets beside other methods."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scratchcard.contracts import Context, Moment, UserError
from scratchcard.graph import Stage
from scratchcard.masks import Masks
from scratchcard.plan import build
from scratchcard.pruning.during.rigl import RiggedLottery
from scratchcard.registry import METHODS, method
from scratchcard.stages.work import Work
from scratchcard.store import Store
from scratchcard.study import Study
from scratchcard.training import DivergedError
from tests.test_every_method import RAW, measured, run

SEEN: list[int] = []


@pytest.fixture
def twice() -> Iterator[str]:
    """RigL in two rounds."""
    METHODS.names()
    known = dict(METHODS._specs)

    @method("twice", title="RigL in two rounds", when="during")
    @dataclass(frozen=True)
    class Twice(RiggedLottery):
        allocation: Any = "uniform"

        @property
        def scored_at(self) -> str:
            return "end"

        def rounds(self, sparsity: float) -> tuple[float, ...]:
            return (sparsity / 2, sparsity)

        def start(self, ctx: Context) -> Masks:
            parameters = dict(ctx.model.named_parameters())
            alive = sum(int((parameters[n] != 0).sum()) for n in ctx.masks)
            SEEN.append(ctx.masks.kept - alive)
            return super().start(ctx)

        def update(self, ctx: Context, moment: Moment) -> Masks | None:
            return super().update(ctx, moment)

    yield "twice"
    METHODS._specs.clear()
    METHODS._specs.update(known)


def test_the_mask_that_training_left_goes_on(twice: str, tmp_path: Path) -> None:
    """Not the one it began with, which would cut the weights that grew."""
    SEEN.clear()
    training = {"epochs": 6, "batch_size": 32}
    run(RAW | {"methods": {twice: {}}, "metrics": ["accuracy"], "training": training}, tmp_path)
    assert len(SEEN) == 2
    # A weight that just grew is zero for a step; RigL is over at three quarters.
    assert SEEN[1] <= 2


def test_other_methods_do_not_change_what_a_method_cost(tmp_path: Path) -> None:
    """A checkpoint at an iteration is planned first, but lies after an early step."""
    early: dict[str, Any] = {"channels-early": {"every": 0.1, "last": 1, "tau": 0.5}}
    raw = RAW | {"metrics": ["accuracy"]}
    _, _, alone = run(raw | {"methods": early}, tmp_path / "alone")
    beside = early | {"lth": {"rewind": "15it", "rate": 0.9}}
    _, _, together = run(raw | {"methods": beside}, tmp_path / "together")
    one, two = (measured(r, "channels-early").find for r in (alone, together))
    assert (one.images, one.flops) == (two.images, two.flops)
    assert one.images == 4 * 32  # the second step of the row, 20 % of 20 steps


def test_renaming_a_method_keeps_its_controls() -> None:
    """The label that ``of`` names is no part of a digest; the mask is."""
    raw = RAW | {"metrics": ["accuracy"]}
    raw |= {"methods": {"lth": {}, "shuffled": {"of": "lth"}}}
    other = {"tickets": {"kind": "lth"}, "shuffled": {"of": "tickets"}}
    plans = [build(Study.parse(r), {"data.digits": "d"}) for r in (raw, raw | {"methods": other})]
    assert set(plans[0].stages) == set(plans[1].stages)


def test_divergence_in_an_incomplete_epoch_is_said(tmp_path: Path) -> None:
    training = {"epochs": 0.5, "batch_size": 32, "lr": 1e30}
    with pytest.raises(DivergedError, match="lower lr"):
        run(RAW | {"methods": {"random": {}}, "training": training}, tmp_path)


def test_a_control_needs_another_method(tmp_path: Path) -> None:
    stage = Stage("mask", "1", {"kind": "shuffled"}, {}, local={"of": "lth"})
    made = Work(stage, Store(tmp_path), lambda fraction: None).method(stage.params)
    assert made.of == "lth"
    with pytest.raises(UserError, match='no mask of "lth"'):
        made.start(Context(None, Masks({}), 0.5, None))  # type: ignore[arg-type]
