"""The training loop against formulas and a reference in numpy, and stopped wherever it may be."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scratchcard import training
from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.masks import Masks, prunable
from scratchcard.study import Training
from scratchcard.training import Clock, DivergedError, Trainee, optimizer_of, train

IMAGES = 50
PER_EPOCH = 6  # of 8 images, two are left out
RECIPE = Training(epochs=3, batch_size=8, lr=0.1)
END = 3 * PER_EPOCH


def noise() -> Images:
    stream = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 1, 6, 6), generator=stream, dtype=torch.uint8)
    return Images(pixels, torch.arange(IMAGES) % 3)


def numbered() -> Images:
    """Image k is of grey level k, but for a white pixel near its left edge."""
    pixels = torch.arange(IMAGES, dtype=torch.uint8)[:, None, None, None].repeat(1, 1, 6, 6)
    pixels[:, :, 2, 1] = 255
    return Images(pixels, torch.arange(IMAGES) % 3)


def network(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(64, 3),
    )


def linear(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))


def trainee_of(model: nn.Module, recipe: Training = RECIPE) -> Trainee:
    return Trainee(model, optimizer_of(model, recipe))


def some_masks(density: float = 0.4) -> Masks:
    stream = torch.Generator().manual_seed(1)
    shapes = {name: weight.shape for name, weight in prunable(network()).items()}
    return Masks({n: torch.rand(s, generator=stream) < density for n, s in shapes.items()})


def everything(trainee: Trainee) -> dict[str, Any]:
    """All that training changes, in a form that ``==`` compares to the last bit."""
    arrays = {name: array.numpy().tobytes() for name, array in trainee.arrays().items()}
    return arrays | trainee.progress()


@dataclass
class Recorder:
    """Sees every training batch, the learning rate, and the weights before each step."""

    trainee: Trainee
    batches: list[torch.Tensor] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    look: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.trainee.model.register_forward_pre_hook(self.before)

    def before(self, _: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.batches.append(inputs[0].clone())
        self.rates.append(self.trainee.optimizer.param_groups[0]["lr"])
        self.look()

    def numbers(self) -> list[list[int]]:
        """Which images of ``numbered`` each batch held."""
        return [(batch[:, 0, 0, 0] * 255).round().int().tolist() for batch in self.batches]


class TestClock:
    def clock(self, **recipe: Any) -> Clock:
        return Clock(Training(epochs=10, batch_size=8, lr=0.4, **recipe), images=50)

    def rates(self, **recipe: Any) -> list[float]:
        clock = self.clock(**recipe)
        return [clock.learning_rate(step) for step in range(60)]

    def torchs(self, scheduler: Callable[[torch.optim.Optimizer], Any]) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
        schedule = scheduler(optimizer)
        rates = []
        for _ in range(60):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    @pytest.mark.parametrize(
        ("step", "count"),
        [
            ("0ep", 0),
            ("3ep", 18),
            ("0.5ep", 3),
            ("7it", 7),
            ("0.25", 15),
            ("10ep", 60),
            ("end", 60),
        ],
    )
    def test_steps(self, step: str, count: int) -> None:
        assert (self.clock().per_epoch, self.clock().total) == (6, 60)
        assert self.clock().at(step) == count

    @pytest.mark.parametrize("step", ["61it", "11ep"])
    def test_a_step_beyond_the_end_is_refused(self, step: str) -> None:
        with pytest.raises(
            UserError, match=f"step '{step}' is 6. iterations, .* ends after 60; take"
        ):
            self.clock().at(step)

    def test_constant(self) -> None:
        assert self.rates(schedule="constant") == [0.4] * 60

    def test_steps_down(self) -> None:
        rates = self.rates(schedule="step", milestones=("0.5", "50it"), gamma=0.2)
        assert rates == pytest.approx([0.4] * 30 + [0.08] * 20 + [0.016] * 10)
        assert rates == pytest.approx(
            self.torchs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [30, 50], gamma=0.2))
        )

    def test_cosine(self) -> None:
        rates = self.rates(schedule="cosine")
        assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * t / 60)) for t in range(60)])
        assert rates == pytest.approx(
            self.torchs(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=60))
        )

    @pytest.mark.parametrize("schedule", ["constant", "step", "cosine"])
    def test_warmup_rises_to_the_highest_rate(self, schedule: str) -> None:
        rates = self.rates(schedule=schedule, warmup="2ep")
        assert rates[:12] == pytest.approx([0.4 * k / 12 for k in range(1, 13)])
        after = {
            "constant": [0.4] * 48,
            "step": [0.4] * 18 + [0.04] * 15 + [0.004] * 15,
            "cosine": [0.2 * (1 + math.cos(math.pi * t / 48)) for t in range(48)],
        }
        assert rates[12:] == pytest.approx(after[schedule])

    def test_one_cycle(self) -> None:
        rates = self.rates(schedule="one-cycle")
        up = [0.4 * (1 / 25 + 24 / 25 * t / 18) for t in range(18)]
        down = [0.2 * (1 + math.cos(math.pi * t / 42)) for t in range(42)]
        assert rates == pytest.approx(up + down)
        assert max(rates) == rates[18] == 0.4

    def test_a_warmup_longer_than_training_is_refused(self) -> None:
        with pytest.raises(UserError, match="step '100it' is 100 iterations"):
            self.rates(warmup="100it")


class TestDescent:
    def test_sgd_is_that_of_numpy(self) -> None:
        """Softmax regression with momentum, weight decay and a cosine, in float64 by hand."""
        recipe = Training(epochs=3, batch_size=8, lr=0.3, momentum=0.9, weight_decay=0.01)
        images, trainee = noise(), trainee_of(linear(), recipe)
        start = [p.detach().double().numpy().copy() for p in trainee.model.parameters()]
        recorder = Recorder(trainee)
        train(trainee, images, recipe, seed=0, until=END)

        labels_of = {
            image.tobytes(): label
            for image, label in zip(images.floats().numpy(), images.labels.tolist(), strict=True)
        }
        parameters, momentum = start, [np.zeros_like(p) for p in start]
        for step, batch in enumerate(recorder.batches):
            x = batch.double().flatten(1).numpy()
            y = [labels_of[image.contiguous().numpy().tobytes()] for image in batch]
            scores = np.exp(x @ parameters[0].T + parameters[1])
            error = (scores / scores.sum(1, keepdims=True) - np.eye(3)[y]) / len(y)
            gradients = [error.T @ x, error.sum(0)]
            rate = 0.3 * (1 + math.cos(math.pi * step / END)) / 2
            for k, gradient in enumerate(gradients):
                momentum[k] = 0.9 * momentum[k] + gradient + 0.01 * parameters[k]
                parameters[k] = parameters[k] - rate * momentum[k]
        assert len(recorder.batches) == END
        for found, wanted in zip(trainee.model.parameters(), parameters, strict=True):
            np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-5)

    @pytest.mark.parametrize("smoothing", [0.0, 0.3])
    def test_history_is_the_mean_over_the_images_seen(self, smoothing: float) -> None:
        """At a vanishing rate all steps see the same network."""
        recipe = Training(
            epochs=2, batch_size=IMAGES, lr=1e-30, weight_decay=0, label_smoothing=smoothing
        )
        images, trainee = noise(), trainee_of(linear(), recipe)
        train(trainee, images, recipe, seed=0, until=2)
        with torch.no_grad():
            logits = trainee.model(images.floats()).double()
        logp = logits - logits.exp().sum(1, keepdim=True).log()
        target = torch.eye(3).double()[images.labels] * (1 - smoothing) + smoothing / 3
        loss = float(-(target * logp).sum(1).mean())
        accuracy = float((logits.argmax(1) == images.labels).double().mean())
        for epoch, entry in enumerate(trainee.history):
            assert entry == pytest.approx({"epoch": epoch, "loss": loss, "accuracy": accuracy})
        assert len(trainee.history) == 2

    def test_clipping_bounds_the_step(self) -> None:
        recipe = Training(
            epochs=1, batch_size=8, lr=0.5, momentum=0, weight_decay=0, clip_norm=0.01
        )
        trainee = trainee_of(linear(), recipe)
        train(trainee, noise(), recipe, seed=0, until=1)
        steps = zip(trainee.model.parameters(), linear().parameters(), strict=True)
        moved = torch.cat([(new - old).detach().flatten() for new, old in steps])
        assert float(moved.norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)

    def test_cut_gradients_do_not_count_in_clipping(self) -> None:
        """With a single live weight, that weight alone moves by rate times norm."""
        recipe = Training(
            epochs=1, batch_size=8, lr=0.5, momentum=0, weight_decay=0, clip_norm=0.01
        )
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, bias=False))
        mask = torch.zeros(3, 36, dtype=torch.bool)
        mask[1, 5] = True
        trainee = trainee_of(model, recipe)
        before = model.get_parameter("1.weight")[1, 5].item()
        train(trainee, noise(), recipe, seed=0, until=1, masks=Masks({"1.weight": mask}))
        moved = abs(model.get_parameter("1.weight")[1, 5].item() - before)
        assert moved == pytest.approx(0.5 * 0.01, rel=1e-3)

    def test_divergence_is_named(self) -> None:
        recipe = Training(epochs=5, batch_size=8, lr=1e6)
        with pytest.raises(
            DivergedError,
            match=r"loss is (nan|inf) in epoch \d \(step \d+\).*diverged; try a lower lr",
        ):
            train(trainee_of(network(), recipe), noise(), recipe, seed=0, until=30)


class TestOrder:
    def epochs(self, seed: int, **recipe: Any) -> list[list[int]]:
        """The images of each epoch, in order."""
        full = Training(**({"epochs": 3, "batch_size": 8} | recipe))
        trainee = trainee_of(linear(), full)
        recorder = Recorder(trainee)
        clock = Clock(full, IMAGES)
        train(trainee, numbered(), full, seed=seed, until=clock.total)
        numbers = recorder.numbers()
        step = clock.per_epoch
        return [[*chain(*numbers[k : k + step])] for k in range(0, clock.total, step)]

    def test_every_epoch_is_another_shuffle_without_its_last_incomplete_batch(self) -> None:
        epochs = self.epochs(0)
        for epoch in epochs:
            assert len(epoch) == len(set(epoch)) == 48
            assert epoch != sorted(epoch)
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert len({frozenset(epoch) for epoch in epochs}) > 1

    def test_the_seed_decides(self) -> None:
        assert self.epochs(0) == self.epochs(0)
        assert self.epochs(0) != self.epochs(1)

    def test_a_batch_larger_than_the_set_is_the_set(self) -> None:
        assert [sorted(epoch) for epoch in self.epochs(0, batch_size=64)] == [[*range(IMAGES)]] * 3

    def test_augmentation_belongs_to_the_image_and_the_epoch(self) -> None:
        """Where each image's white pixel went, for two batch sizes."""

        def places(batch_size: int) -> list[dict[int, int]]:
            recipe = Training(epochs=2, batch_size=batch_size, crop=1, flip=True)
            trainee = trainee_of(linear(), recipe)
            recorder = Recorder(trainee)
            clock = Clock(recipe, IMAGES)
            train(trainee, numbered(), recipe, seed=0, until=clock.total)
            images = [image for batch in recorder.batches for image in batch[:, 0]]
            # The grey level is seen in the middle, where neither crop nor white pixel reach.
            found = [
                (int((image[4, 3] * 255).round()), int(image.flatten().argmax()))
                for image in images
            ]
            half = clock.per_epoch * batch_size
            return [dict(found[:half]), dict(found[half:])]

        for small, large in zip(places(8), places(25), strict=True):
            shared = small.keys() & large.keys()
            assert len(shared) >= 48
            assert all(small[k] == large[k] for k in shared)
        first, second = places(25)
        assert len(set(first.values())) > 6  # of 3 x 3 crops, mirrored or not
        assert first != second


CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "masks": {"masks": some_masks()},
    "augmented": {"crop": 1, "flip": True, "schedule": "one-cycle"},
    "dropout": {"dropout": 0.5, "schedule": "step", "nesterov": True},
    "everything": {
        **{"masks": some_masks(), "crop": 2, "flip": True, "dropout": 0.3},
        **{"label_smoothing": 0.1, "clip_norm": 0.5, "warmup": "4it"},
    },
    "no momentum": {"momentum": 0},
}


@dataclass(frozen=True)
class Run:
    """One way of training, started and stopped at will."""

    recipe: Training
    masks: Masks | None
    dropout: float

    @classmethod
    def of(cls, case: str) -> "Run":
        options = dict(CASES[case])
        masks, dropout = options.pop("masks", None), options.pop("dropout", 0.0)
        return cls(Training(**{"epochs": 3, "batch_size": 8, **options}), masks, dropout)

    def fresh(self, model_seed: int = 0) -> Trainee:
        return trainee_of(network(model_seed, self.dropout), self.recipe)

    def go(self, trainee: Trainee, until: int, *, seed: int = 0, **options: Any) -> None:
        train(trainee, noise(), self.recipe, seed=seed, until=until, masks=self.masks, **options)


class Killed(RuntimeError):
    """Stands for a kill."""


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

        def half(arrays: Any, file: Path, metadata: Any) -> None:
            file.write_bytes(saved[:100])
            raise Killed

        monkeypatch.setattr(training, "save_file", half)
        with pytest.raises(Killed):
            trainee.save(path)
        assert path.read_bytes() == saved
        again = run.fresh()
        again.load(path)
        assert everything(again) == good

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
        train(ticket, noise(), recipe, seed=0, until=END, masks=masks)
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
