"""Small networks in training, and a witness of every step, for the tests of the loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from scratchcard.data.base import Images
from scratchcard.masks import Masks, prunable
from scratchcard.study import Training
from scratchcard.training import Trainee, optimizer_of, train

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
        trainee = trainee_of(network(model_seed, self.dropout), self.recipe)
        trainee.masks = self.masks
        return trainee

    def go(self, trainee: Trainee, until: int, *, seed: int = 0, **options: Any) -> None:
        train(trainee, noise(), self.recipe, seed=seed, until=until, **options)


class Killed(RuntimeError):
    """Stands for a kill."""
