"""Training stopped wherever it may be, and tickets that go on from an early step."""

import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import torch
from torch import nn

from scratchcard.data.base import Images
from scratchcard.masks import prunable
from scratchcard.study import Training
from scratchcard.training import Trainee, train
from tests.trainees import (
    CASES,
    END,
    PER_EPOCH,
    RECIPE,
    Killed,
    Recorder,
    Run,
    everything,
    network,
    noise,
    some_masks,
    trainee_of,
)


class TestStopping:
    @pytest.mark.parametrize("case", CASES)
    def test_a_run_that_was_stopped_is_the_same_to_the_last_bit(
        self, case: str, tmp_path: Path
    ) -> None:
        run = Run.of(case)
        whole = run.fresh()
        run.go(whole, END)
        wanted = everything(whole)
        assert len(wanted["history"]) == 3
        assert any(key.endswith("momentum_buffer") for key in wanted) == (case != "no momentum")
        for stop in (1, PER_EPOCH, PER_EPOCH + 3, END - 1):
            first = run.fresh()
            run.go(first, stop)
            first.save(tmp_path / "checkpoint.safetensors")
            second = run.fresh(model_seed=7)
            second.load(tmp_path / "checkpoint.safetensors")
            assert everything(second) == everything(first)
            run.go(second, END)
            assert everything(second) == wanted, f"stopped after {stop} steps"

    @pytest.mark.parametrize("case", ["plain", "everything"])
    def test_a_killed_run_goes_on_from_its_checkpoint(self, case: str, tmp_path: Path) -> None:
        run, checkpoint = Run.of(case), tmp_path / "checkpoint.safetensors"
        whole = run.fresh()
        run.go(whole, END)
        for kill in (4, 9, 5):
            dying = run.fresh()
            recorder = Recorder(dying)

            def look(recorder: Recorder = recorder, kill: int = kill) -> None:
                if len(recorder.batches) == kill:
                    raise Killed

            recorder.look = look
            with pytest.raises(Killed):
                run.go(dying, END, checkpoint=checkpoint, interval=0)
        last = run.fresh()
        recorder = Recorder(last)
        run.go(last, END, checkpoint=checkpoint, interval=0)
        assert len(recorder.batches) == END - (3 + 8 + 4)
        assert everything(last) == everything(whole)

    def test_the_seed_decides_every_bit(self) -> None:
        run = Run.of("everything")
        runs = []
        for seed in (0, 0, 1):
            torch.rand(5)  # what torch drew before does not matter
            trainee = run.fresh()
            run.go(trainee, END, seed=seed)
            runs.append(everything(trainee))
        assert runs[0] == runs[1]
        assert runs[0] != runs[2]

    def test_torchs_own_random_numbers_are_left_alone(self) -> None:
        run = Run.of("dropout")
        trainee = run.fresh()
        before = torch.get_rng_state()
        run.go(trainee, 2)
        assert torch.equal(torch.get_rng_state(), before)

    def test_dropout_differs_from_step_to_step(self) -> None:
        torch.manual_seed(0)
        dropped = nn.Dropout(0.5)
        model = nn.Sequential(nn.Flatten(), dropped, nn.Linear(36, 3))
        kept: list[torch.Tensor] = []
        dropped.register_forward_hook(lambda _, inputs, output: kept.append(output == 0))
        white = Images(torch.full((8, 1, 6, 6), 255, dtype=torch.uint8), torch.zeros(8).long())
        train(trainee_of(model), white, RECIPE, seed=0, until=3)
        assert not torch.equal(kept[0], kept[1])
        assert not torch.equal(kept[1], kept[2])

    def test_a_checkpoint_is_replaced_whole_or_not_at_all(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, path = Run.of("masks"), tmp_path / "checkpoint.safetensors"
        trainee = run.fresh()
        run.go(trainee, 5)
        trainee.save(path)
        good, saved = everything(trainee), path.read_bytes()
        assert list(tmp_path.iterdir()) == [path]
        run.go(trainee, 6)

        def half(source: Path, target: Path) -> None:
            raise Killed

        monkeypatch.setattr(os, "replace", half)
        with pytest.raises(Killed):
            trainee.save(path)
        assert path.read_bytes() == saved
        again = run.fresh()
        assert again.load(path)
        assert everything(again) == good

    @pytest.mark.parametrize("damage", [lambda b: b[:-7], lambda b: b[:-1] + b"?", lambda b: b""])
    def test_a_damaged_checkpoint_is_not_used(
        self, tmp_path: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        run, path = Run.of("masks"), tmp_path / "checkpoint"
        whole, again = run.fresh(), run.fresh()
        run.go(whole, 5)
        whole.save(path)
        path.write_bytes(damage(path.read_bytes()))
        assert not again.load(path)
        run.go(again, 5, checkpoint=path)
        assert everything(again) == everything(whole)

    def test_layers_that_share_a_weight_can_be_saved(self, tmp_path: Path) -> None:
        def shared() -> Trainee:
            layers = nn.Linear(36, 36), nn.Linear(36, 36)
            layers[1].weight = layers[0].weight
            return trainee_of(nn.Sequential(nn.Flatten(), *layers))

        one, two = shared(), shared()
        train(one, noise(), RECIPE, seed=0, until=3)
        one.save(tmp_path / "checkpoint.safetensors")
        two.load(tmp_path / "checkpoint.safetensors")
        assert everything(two) == everything(one)

    def test_ticks_and_checkpoints_follow_the_clock(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that goes one second a step: a tick each, a checkpoint every fourth."""
        seconds = count(0.0)
        monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
        run = Run.of("plain")
        trainee = run.fresh()
        ticks: list[float] = []
        saves: list[tuple[Path, int]] = []
        monkeypatch.setattr(trainee, "save", lambda path: saves.append((path, trainee.step)))
        run.go(trainee, 2)
        run.go(trainee, 12, tick=ticks.append, checkpoint=tmp_path / "c", interval=3.5)
        assert ticks == pytest.approx([k / 10 for k in range(1, 11)])
        assert saves == [(tmp_path / "c", 6), (tmp_path / "c", 10)]


class TestRewinding:
    @pytest.mark.parametrize("rewind", [0, PER_EPOCH, PER_EPOCH + 3])
    def test_a_ticket_goes_on_where_the_dense_network_was(self, rewind: int) -> None:
        recipe = Training(epochs=3, batch_size=8, lr=0.1, crop=1, flip=True, warmup="4it")
        dense = trainee_of(network(), recipe)
        recorder = Recorder(dense)
        train(dense, noise(), recipe, seed=0, until=rewind)
        weights = {k: v for k, v in dense.arrays().items() if k.startswith("model.")}
        train(dense, noise(), recipe, seed=0, until=END)

        ticket, masks = trainee_of(network(seed=5), recipe), some_masks()
        ticket.restore(weights, {"step": rewind})
        assert ticket.optimizer.state == {}
        buffers = dict(ticket.model.named_buffers())
        assert set(buffers) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
        assert int(buffers["1.num_batches_tracked"]) == rewind
        for name, value in ticket.model.state_dict().items():
            assert torch.equal(value, weights[f"model.{name}"])

        second = Recorder(ticket, look=lambda: masks.check(ticket.model))
        ticket.masks = masks
        train(ticket, noise(), recipe, seed=0, until=END)
        assert second.rates == recorder.rates[rewind:]
        assert len(second.batches) == END - rewind
        for one, other in zip(second.batches, recorder.batches[rewind:], strict=True):
            assert torch.equal(one, other)
        assert [entry["epoch"] for entry in ticket.history] == [*range(rewind // PER_EPOCH, 3)]

    def test_cut_weights_and_their_momentum_are_zero_after_every_step(self) -> None:
        run = Run.of("masks")
        trainee, masks = run.fresh(), some_masks()
        recorder = Recorder(trainee)

        def look() -> None:
            masks.check(trainee.model)
            for name, weight in prunable(trainee.model).items():
                for value in trainee.optimizer.state.get(weight, {}).values():
                    assert (value[~masks[name]] == 0).all()
                    assert (value[masks[name]] != 0).any()

        recorder.look = look
        run.go(trainee, END)
        look()
        assert len(recorder.batches) == END

    def test_the_mask_is_let_go_after_training(self) -> None:
        """Also after a failed one: what follows without masks is dense."""
        run = Run.of("masks")
        trainee = run.fresh()
        recorder = Recorder(trainee)

        def look() -> None:
            if len(recorder.batches) == 3:
                raise Killed

        recorder.look = look
        with pytest.raises(Killed):
            run.go(trainee, END)
        trainee.masks = None
        train(trainee, noise(), run.recipe, seed=0, until=6)
        with pytest.raises(AssertionError, match="are not zero"):
            some_masks().check(trainee.model)

    def test_arrays_are_copies(self) -> None:
        run = Run.of("plain")
        trainee = run.fresh()
        run.go(trainee, 3)
        arrays, progress = trainee.arrays(), trainee.progress()
        before = {name: array.numpy().tobytes() for name, array in arrays.items()}
        run.go(trainee, END)
        assert {name: array.numpy().tobytes() for name, array in arrays.items()} == before
        assert progress["history"] == []

    def test_restoring_forgets_old_momentum(self) -> None:
        run = Run.of("plain")
        trainee = run.fresh()
        start = trainee.arrays()
        run.go(trainee, END)
        first = everything(trainee)
        trainee.restore(start, {"step": 0})
        run.go(trainee, END)
        assert everything(trainee) == first
