"""The only training loop: SGD from one step of a recipe to another, mask-aware and resumable.

Every draw depends on (seed, epoch) or (seed, step) alone, so a run may stop and go on anywhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from scratchcard.contracts import Step, UserError
from scratchcard.data.augment import augment, draw
from scratchcard.data.base import Images
from scratchcard.files import replace
from scratchcard.masks import Masks
from scratchcard.probe import floats
from scratchcard.seeds import derive, torch_stream
from scratchcard.study import Training


class DivergedError(ArithmeticError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class Clock:
    """Where a recipe's epochs, fractions and iterations fall on a training set of ``images``."""

    recipe: Training
    images: int

    @property
    def per_epoch(self) -> int:
        """Steps an epoch; the last, incomplete batch is left out (its images come next epoch)."""
        return max(self.images // self.recipe.batch_size, 1)

    @property
    def total(self) -> int:
        """Steps of the whole recipe."""
        return round(self.recipe.epochs * self.per_epoch)

    def at(self, step: str) -> int:
        """``"3ep"``, ``"500it"``, ``"0.5"`` or ``"end"`` as a count of steps.

        Raises:
            UserError: It is no step, or lies beyond the end of training.
        """
        count = Step.parse(step).iterations(per_epoch=self.per_epoch, total=self.total)
        if count > self.total:
            raise UserError(
                f"step {step!r} is {count} iterations, but training ends after {self.total}; "
                "take an earlier one, or more epochs"
            )
        return count

    def learning_rate(self, step: int) -> float:
        """The schedule's rate at ``step``, a pure function of the position."""
        recipe = self.recipe
        warmup = self.at(recipe.warmup)
        if step < warmup:
            return recipe.lr * (step + 1) / warmup
        progress = step / self.total
        if recipe.schedule == "step":
            passed = sum(step >= self.at(milestone) for milestone in recipe.milestones)
            return float(recipe.lr * recipe.gamma**passed)
        if recipe.schedule == "cosine":
            progress = (step - warmup) / max(self.total - warmup, 1)
            return recipe.lr * (1 + math.cos(math.pi * progress)) / 2
        if recipe.schedule == "one-cycle":
            # Up from lr/25 over the first 30 %, down along a cosine to nearly zero.
            if progress < 0.3:
                return recipe.lr * (1 / 25 + (1 - 1 / 25) * progress / 0.3)
            return recipe.lr * (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2
        return recipe.lr


@dataclass
class Trainee:
    """A network in training: the one mutable thing here.

    Attributes:
        model: On its device.
        optimizer: Over the model's parameters.
        step: SGD steps done, counted from the start of the recipe.
        masks: Which weights live; None if all do.
        history: Mean loss and accuracy on the training batches, an entry an epoch.
        earlier: Seconds that killed runs had spent up to the checkpoint they left.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    masks: Masks | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    earlier: float = 0.0
    _born: float = field(default_factory=time.monotonic)
    _sums: torch.Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))

    @torch.no_grad()
    def count(self, loss: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> None:
        """Add a batch to the epoch's sums of loss, hits and images; without waiting for a GPU."""
        hits = (logits.argmax(1) == y).sum()
        self._sums = self._sums.to(loss.device)
        self._sums += torch.stack([loss * len(y), hits, hits.new_tensor(len(y))]).double()

    def close_epoch(self, epoch: int) -> None:
        """Turn the sums into an entry of ``history``.

        Raises:
            DivergedError: The loss became infinite or not a number.
        """
        self.check(epoch)
        loss, hits, images = self._sums.tolist()
        self._sums.zero_()
        self.history.append({"epoch": epoch, "loss": loss / images, "accuracy": hits / images})

    def check(self, epoch: int) -> None:
        """Raise a ``DivergedError`` if the loss of the epoch so far is no longer a number."""
        loss = float(self._sums[0])
        if not math.isfinite(loss):
            raise DivergedError(
                f"the training loss is {loss} in epoch {epoch + 1} (step {self.step}): training "
                "diverged; try a lower lr, a warm-up, or clip_norm"
            )

    def arrays(self) -> dict[str, torch.Tensor]:
        """Copies of weights, buffers and optimiser state by name, on the CPU."""
        names: dict[torch.Tensor, str] = {p: n for n, p in self.model.named_parameters()}
        arrays = {f"model.{k}": _copy(v) for k, v in self.model.state_dict().items()}
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    arrays[f"optimizer.{names[parameter]}:{key}"] = _copy(value)
        return arrays

    def restore(self, arrays: Mapping[str, torch.Tensor], progress: Mapping[str, Any]) -> None:
        """The inverse of ``arrays`` and ``progress``; optimiser state may be left out of both."""
        model = {k[6:]: v for k, v in arrays.items() if k.startswith("model.")}
        self.model.load_state_dict(model)
        self.optimizer.state.clear()
        parameters = dict(self.model.named_parameters())
        for name, value in arrays.items():
            if name.startswith("optimizer."):
                parameter, key = name[len("optimizer.") :].rsplit(":", 1)
                state = torch.empty_like(parameters[parameter], requires_grad=False)
                self.optimizer.state[parameters[parameter]][key] = state.copy_(value)
        self.step = progress["step"]
        self.history = list(progress.get("history", []))
        self._sums = torch.tensor(progress.get("sums", [0.0, 0.0, 0.0]), dtype=torch.float64)

    def progress(self) -> dict[str, Any]:
        """What else a checkpoint holds, as JSON values."""
        return {"step": self.step, "history": list(self.history), "sums": self._sums.tolist()}

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all, with a hash of itself."""
        seconds = self.earlier + time.monotonic() - self._born
        progress = json.dumps(self.progress() | {"seconds": seconds}).encode()
        packed = torch.tensor(list(progress), dtype=torch.uint8)
        masks = {f"mask.{name}": mask for name, mask in (self.masks or {}).items()}
        data = safetensors.torch.save(self.arrays() | masks | {"progress": packed})
        replace(path, hashlib.sha256(data).digest() + data)

    def load(self, path: Path) -> bool:
        """Go on from what ``save`` wrote; False, and nothing is done, if it is damaged."""
        digest, data = (content := path.read_bytes())[:32], content[32:]
        if hashlib.sha256(data).digest() != digest:
            return False
        arrays = safetensors.torch.load(data)
        progress = json.loads(arrays.pop("progress").numpy().tobytes())
        if self.masks is not None:
            saved = {name: arrays[f"mask.{name}"] for name in self.masks}
            self.masks = Masks({n: m.to(self.masks[n].device) for n, m in saved.items()})
        self.restore(arrays, progress)
        self.earlier = progress["seconds"]
        return True


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def optimizer_of(model: nn.Module, recipe: Training) -> torch.optim.Optimizer:
    """Stochastic gradient descent as the recipe has it."""
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def train(
    trainee: Trainee,
    images: Images,
    recipe: Training,
    *,
    seed: int,
    until: int,
    update: Callable[[], Masks | None] | None = None,
    replaces_step: bool = True,
    checkpoint: Path | None = None,
    interval: float = 10.0,
    tick: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Train in place from ``trainee.step`` to step ``until`` of the recipe.

    Args:
        trainee: The network, its optimiser, where it stands, and its masks: the weights that they
            cut are held at zero.
        images: The training split, on the network's device.
        recipe: Optimiser, schedule, augmentation.
        seed: Of data order, augmentation and dropout.
        until: The step to stop before.
        update: Asked after every backward pass, while gradients are dense; the masks it returns
            hold from then on.
        replaces_step: Whether such masks take the place of the SGD step.
        checkpoint: Where to save now and then, and to go on from if it exists and is whole.
        interval: Seconds between checkpoints.
        tick: Called with the fraction done, about twice a second.

    Raises:
        DivergedError: The loss became infinite or not a number.
    """
    if checkpoint is not None and checkpoint.exists():
        trainee.load(checkpoint)
    clock = Clock(recipe, len(images))
    model, optimizer = trainee.model.train(), trainee.optimizer
    masks = trainee.masks
    guarded = masks.attach(model, optimizer) if masks is not None else nullcontext()
    first = trainee.step
    saved = ticked = time.monotonic()
    batches = None
    with guarded as guard, _forked(images.pixels.device) as dropout:
        while trainee.step < until:
            epoch, number = divmod(trainee.step, clock.per_epoch)
            if batches is None or number == 0:
                batches = _batches(images, recipe, seed, epoch)
            x, y = batches(number)

            dropout.manual_seed(derive(seed, "dropout", trainee.step))
            for group in optimizer.param_groups:
                group["lr"] = clock.learning_rate(trainee.step)
            logits = model(x)
            loss = cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            changed = update() if update is not None else None
            if changed is not None and guard is not None:
                guard.switch(changed)
                trainee.masks = changed
            if changed is None or not replaces_step:
                if guard is not None:
                    guard.mask_gradients()
                if recipe.clip_norm:
                    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimizer.step()

            trainee.step += 1
            trainee.count(loss, logits, y)
            if number == clock.per_epoch - 1:
                trainee.close_epoch(epoch)
            if (now := time.monotonic()) - ticked > 0.5:
                tick((trainee.step - first) / (until - first))
                ticked = now
            if checkpoint is not None and now - saved > interval:
                trainee.save(checkpoint)
                saved = now
    trainee.check(trainee.step // clock.per_epoch)  # of an epoch that is not complete


def _batches(
    images: Images, recipe: Training, seed: int, epoch: int
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """The batches of an epoch by number: augmented images [B, C, H, W] and labels [B]."""
    device, size = images.pixels.device, recipe.batch_size
    order = torch.randperm(len(images), generator=torch_stream(seed, "order", epoch)).to(device)
    stream = torch_stream(seed, "augment", epoch)
    draws = draw(len(images), pad=recipe.crop, flip=recipe.flip, generator=stream).to(device)

    def batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows = order[number * size : (number + 1) * size]
        x = floats(augment(images.pixels[rows], draws[rows]))
        return x.contiguous(memory_format=torch.channels_last), images.labels[rows]

    return batch


@contextmanager
def _forked(device: torch.device) -> Iterator[torch.Generator]:
    """The global generator of ``device``, which dropout draws from; left as it was."""
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        # Not torch.manual_seed: it seeds every device, at 0.15 ms a call.
        yield torch.cuda.default_generators[device.index] if on_gpu else torch.default_generator
