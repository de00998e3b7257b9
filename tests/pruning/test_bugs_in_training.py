"""Bugs of other implementations in training with masks, each shown beside ours.

``docs/bugs-elsewhere.md`` lists them with the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scratchcard import models
from scratchcard.contracts import Context, Moment, Task
from scratchcard.data.digits import Digits
from scratchcard.data.files import fingerprint
from scratchcard.masks import Masks
from scratchcard.plan import build
from scratchcard.pruning.during.rigl import RiggedLottery
from scratchcard.seeds import torch_stream
from scratchcard.stages import execute
from scratchcard.store import Store
from scratchcard.study import Study
from scratchcard.training import Trainee, train
from tests.test_masks import network, random_masks
from tests.trainees import END, PER_EPOCH, RECIPE, everything, noise, some_masks, trainee_of
from tests.trainees import network as small


class TestWeights:
    @pytest.mark.parametrize("way", ["ours", "rebinding"])
    def test_weights_are_changed_where_they_are(self, way: str) -> None:
        """Compiled graphs, CUDA graphs, buckets of DDP and flat views hold their addresses."""
        model = network()
        masks = random_masks(model)
        held = {name: model.get_parameter(name).detach() for name in masks}
        if way == "ours":
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
            with masks.attach(model, optimizer) as guard:
                torch.autograd.backward(model(torch.rand(3, 1, 6, 6).double()).sum())
                guard.mask_gradients()
                optimizer.step()
                guard.switch(random_masks(model, seed=1))
        else:
            for name, mask in masks.items():
                model.get_parameter(name).data = held[name] * mask
        same = all(torch.equal(model.get_parameter(n).detach(), held[n]) for n in masks)
        assert same == (way == "ours")

    def test_closures_and_schedules_pass_through(self) -> None:
        """Putting a wrapper in place of ``optimizer.step`` loses both."""
        model = network()
        masks = random_masks(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        images = torch.rand(3, 1, 6, 6).double()

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = model(images).square().sum()
            torch.autograd.backward(loss)
            return loss.detach()

        with masks.attach(model, optimizer):
            torch.optim.lr_scheduler.StepLR(optimizer, 2)
            first, second = optimizer.step(closure), optimizer.step(closure)
            masks.check(model)
        assert second < first  # the loss, which goes down

        step = torch.optim.SGD(model.parameters(), lr=0.1).step

        def wrapper() -> None:
            step()
            masks.apply_(model)

        buggy = torch.optim.SGD(model.parameters(), lr=0.1)
        buggy.step = wrapper  # type: ignore[method-assign, assignment]
        with pytest.raises(TypeError):
            buggy.step(closure)
        with pytest.raises(AttributeError, match="__func__"):
            torch.optim.lr_scheduler.StepLR(buggy, 2)

    def test_a_network_that_was_compiled_before_stays_sparse(self) -> None:
        """Hooks of modules that come after compiling are passed over, without a word."""
        model = network()
        images = torch.rand(3, 1, 6, 6).double()
        compiled = torch.compile(model, backend="eager")
        compiled(images)
        called: list[int] = []
        model.get_submodule("4").register_forward_pre_hook(lambda *_: called.append(1))
        masks, optimizer = random_masks(model), torch.optim.SGD(model.parameters(), lr=0.1)
        with masks.attach(model, optimizer) as guard:
            for _ in range(3):
                optimizer.zero_grad()
                torch.autograd.backward(compiled(images).square().sum())
                guard.mask_gradients()
                optimizer.step()
                masks.check(model)
        assert called == []


class TestUpdatesInTraining:
    """The loop and a method together; what is asked of methods alone is tested with them."""

    def run(
        self,
        update: Callable[[Trainee], Masks | None],
        until: int = END,
        *,
        trainee: Trainee | None = None,
        masks: Masks | None = None,
        replaces: bool = True,
    ) -> Trainee:
        if trainee is None:
            trainee = trainee_of(small())
            trainee.masks = masks or some_masks()
        own = trainee
        options = {"update": lambda: update(own), "replaces_step": replaces}
        train(own, noise(), RECIPE, seed=0, until=until, **options)  # type: ignore[arg-type]
        return own

    def test_methods_see_gradients_of_cut_weights(self) -> None:
        """After masking, RigL would grow nothing but what it just dropped."""
        seen = []

        def look(trainee: Trainee) -> None:
            assert trainee.masks is not None
            for name, mask in trainee.masks.items():
                gradient = trainee.model.get_parameter(name).grad
                assert gradient is not None
                masked = gradient.masked_fill(~mask, 0)  # what comes too late
                seen.append((bool(gradient[~mask].any()), bool(masked[~mask].any())))

        self.run(look, 3)
        assert seen == [(True, False)] * 6

    @pytest.mark.parametrize("replaces", [True, False])
    def test_an_update_takes_the_place_of_the_step(self, replaces: bool) -> None:
        """Another order, which updates after stepping, lets the weights move, too."""
        new = Masks({name: mask.flip(0) for name, mask in some_masks().items()})
        before: dict[str, Tensor] = {}

        def at_two(trainee: Trainee) -> Masks | None:
            before.update({n: trainee.model.get_parameter(n).detach().clone() for n in new})
            return new if trainee.step == 2 else None

        trainee = self.run(at_two, 3, replaces=replaces)
        stays = {name: new[name] & mask for name, mask in some_masks().items()}
        for name, kept in stays.items():
            weight = trainee.model.get_parameter(name).detach()
            assert kept.any()
            assert torch.equal(weight[kept], before[name][kept]) == replaces
            grown = new[name] & ~kept
            assert bool(weight[grown].any()) != replaces
            assert not weight[~new[name]].any()

    @pytest.mark.parametrize("saved", [True, False])
    def test_resuming_goes_on_with_the_masks_of_the_checkpoint(
        self, saved: bool, tmp_path: Path
    ) -> None:
        """Where masks are in no checkpoint, a dynamic run begins again with those of its start."""
        method, start = RiggedLottery(every="1it"), some_masks(0.3)

        def update(trainee: Trainee) -> Masks | None:
            assert trainee.masks is not None
            stream = torch_stream(0, "prune", trainee.step)
            ctx = Context(trainee.model, trainee.masks, 0.7, stream)
            return method.update(ctx, Moment(trainee.step, PER_EPOCH, END))

        whole = self.run(update, masks=start)
        first = self.run(update, 10, masks=start)
        assert whole.masks != start != first.masks
        first.save(tmp_path / "checkpoint")
        second = trainee_of(small(seed=7))
        second.masks = start
        second.load(tmp_path / "checkpoint")
        if not saved:
            second.masks = start
        self.run(update, trainee=second)
        assert (everything(second) == everything(whole)) == saved
        assert (second.masks == whole.masks) == saved


STUDY: dict[str, Any] = {
    "name": "rewinding",
    "seeds": [3],
    "metrics": ["accuracy"],
    "data": {"digits": {"train_images": 170, "test_images": 50}},
    "models": {"cifar-resnet": {"depth": 8, "width": 4}},
    "methods": {"omp": {"rewind": "1ep"}},
    "ladder": {"sparsities": [0.8]},
    "training": {"epochs": 3, "batch_size": 32},
}


@pytest.fixture(scope="module")
def ticket(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a study stored of a ticket, of the dense network it rewound to, and of its end."""
    study = Study.parse(STUDY)
    digits = Digits(**study.data["digits"].params)
    plan = build(study, {"data.digits": fingerprint(digits.files())})
    store = Store(tmp_path_factory.mktemp("rewinding") / "store")
    for stage in plan.stages.values():
        execute(stage, store, lambda fraction: None)
    dense, omp = sorted(plan.networks, key=lambda n: n.method)
    own = plan.stages[omp.weights]
    assert omp.mask is not None
    packed, shapes = store.arrays(omp.mask, "masks"), store.result(omp.mask)["shapes"]

    def state(digest: str) -> dict[str, Tensor]:
        found = store.arrays(digest, "weights").items()
        return {k[6:]: torch.from_numpy(v) for k, v in found if k.startswith("model.")}

    return {
        "start": state(own.inputs["start"]),
        "dense": state(dense.weights),
        "end": state(omp.weights),
        "masks": Masks.unpack(packed, shapes),
        "images": digits.splits().train,
        "recipe": study.training,
    }


class TestRewinding:
    def retrained(self, ticket: dict[str, Any], state: dict[str, Tensor], step: int = 5) -> bool:
        """Whether training from ``state`` and ``step`` leads to what the study has."""
        model = models.build("cifar-resnet", Task(1, 8, 8, 10), {"depth": 8, "width": 4}, 3)
        # The layout of a study, for the same bits.
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.load_state_dict(state)
        trainee = trainee_of(model, ticket["recipe"])
        trainee.step, trainee.masks = step, ticket["masks"]
        train(trainee, ticket["images"], ticket["recipe"], seed=3, until=step + 10)
        return all(torch.equal(v, ticket["end"][n]) for n, v in model.state_dict().items())

    def test_it_starts_from_the_early_weights_and_statistics(self, ticket: dict[str, Any]) -> None:
        assert self.retrained(ticket, ticket["start"])

    @pytest.mark.parametrize("part", ["", "running", "bn1."])
    def test_what_is_not_rewound_makes_another_ticket(
        self, ticket: dict[str, Any], part: str
    ) -> None:
        """A flag that rewound nothing, for years; weights without BatchNorm or its statistics."""
        state = {n: ticket["dense" if part in n else "start"][n] for n in ticket["start"]}
        assert not self.retrained(ticket, state)

    def test_schedule_and_order_go_on_from_the_step_too(self, ticket: dict[str, Any]) -> None:
        assert not self.retrained(ticket, ticket["start"], step=0)
