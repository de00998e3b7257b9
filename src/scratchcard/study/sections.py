"""The parts of a study that need no registry: its head, training, ladder, pruning and verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from scratchcard.contracts import Method, UserError
from scratchcard.study.checks import within
from scratchcard.study.choices import Profile
from scratchcard.study.problems import show

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
BelowOne = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0)]


def _listed_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = dict.fromkeys(value for value in values if values.count(value) > 1)
    if twice:
        raise ValueError(f"listed twice: {', '.join(map(show, twice))}")
    return values


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise ValueError("is empty; name at least one")
    return values


def _natural(seed: int) -> int:
    if seed < 0:
        raise ValueError(f"{seed} is negative; seeds are 0, 1, 2, ...")
    return seed


def _counted(seeds: Any) -> Any:
    """``5`` stands for the seeds 0 to 4."""
    if isinstance(seeds, list | tuple):
        return tuple(seeds)
    if isinstance(seeds, bool) or not isinstance(seeds, int):
        raise ValueError(f"must be a count or a list, such as 5 or [0, 1, 2], not {show(seeds)}")
    if seeds < 1:
        raise ValueError(f"{seeds} is no count of seeds; take at least 1, or list them: [0, 1, 2]")
    return tuple(range(seeds))


def _share(sparsity: float) -> float:
    if not 0 < (rounded := round(sparsity, 12)) < 1:
        raise ValueError(
            f"{sparsity:g} is no sparsity: the share of weights that are zero lies between 0 and 1"
        )
    return rounded


def _number(value: Any) -> Any:
    """An integer stays one, for the sake of digests: 20 and 20.0 are one number of epochs."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {show(value)}")
    return int(value) if value % 1 == 0 else value


def checked_name(name: str) -> str:
    """``name`` if it can be a study's and its folder's.

    Raises:
        ValueError: It has other signs, or is the name of the folder of results.
    """
    if name == "store":
        raise ValueError('"store" is the folder of results; choose another name')
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ValueError(f"{show(name)} is no name: take small letters, digits, '_' and '-'")
    return name


class Section(BaseModel):
    """A part of a study: nothing in it can be changed, and nothing unknown is let in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(Section):
    """The recipe that dense networks and tickets share.

    Steps (``milestones``, ``warmup``) are written ``"3ep"``, ``"500it"`` or ``"0.75"``.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images in an SGD step.
        optimizer: Stochastic gradient descent, the only one.
        lr: Highest learning rate.
        momentum: Of SGD.
        nesterov: Whether momentum looks ahead.
        weight_decay: L2 penalty on every parameter.
        schedule: How the learning rate falls.
        milestones: Where the schedule ``step`` multiplies the rate by ``gamma``.
        gamma: See ``milestones``.
        warmup: How long the rate first rises, linearly.
        crop: Padding of the random crop, in pixels; 0 is no crop.
        flip: Whether images are mirrored left to right at random.
        label_smoothing: Share of the target spread evenly over the classes.
        clip_norm: Largest norm of the gradient; 0 is no limit.
        precision: Of training.
    """

    epochs: Annotated[int | float, BeforeValidator(_number), Field(gt=0)] = 20
    batch_size: Count = 64
    optimizer: Literal["sgd"] = "sgd"
    lr: Positive = 0.1
    momentum: BelowOne = 0.9
    nesterov: bool = False
    weight_decay: NotNegative = 1e-4
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = "cosine"
    milestones: tuple[str, ...] = ("0.5", "0.75")
    gamma: Positive = 0.1
    warmup: str = "0ep"
    crop: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    label_smoothing: BelowOne = 0.0
    clip_norm: NotNegative = 0.0
    precision: Literal["float32"] = "float32"

    def with_epochs(self, epochs: float) -> Training:
        """The same recipe for a longer or shorter training; steps in it keep their spelling.

        Raises:
            UserError: Some of them lie beyond its end.
        """
        try:
            own = self.model_dump(mode="json", exclude_defaults=True)
            return Training(**{**own, "epochs": epochs})
        except ValidationError as error:
            said = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise UserError(
                f"a training of {epochs:.3g} epochs (equal_budget) cannot have this recipe: "
                f"{said}; write milestones and warmup as fractions"
            ) from error

    def spelled(self) -> dict[str, Any]:
        """What differs from the defaults, and always epochs, lr and schedule: what methods see."""
        own = self.model_dump(mode="json", exclude_defaults=True)
        return {"epochs": self.epochs, "lr": self.lr, "schedule": self.schedule, **own}

    def wanted_by(self, method: Method, sparsity: float) -> Training:
        """The recipe of a ticket's training, as its method makes it of this one.

        Raises:
            UserError: It makes none of it.
        """
        own = self.spelled()
        wanted = method.recipe(own, sparsity)
        try:
            return self if wanted == own else Training(**wanted)
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(
                f"the recipe that it makes for sparsity {sparsity:g} is wrong: "
                f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
            ) from error

    @field_validator("milestones", "warmup")
    @classmethod
    def _within_training(cls, steps: Any, info: ValidationInfo) -> Any:
        for step in (steps,) if isinstance(steps, str) else steps:
            within(step, info.data.get("epochs"))
        return steps

    @field_validator("milestones", "gamma")
    @classmethod
    def _not_in_vain(cls, value: Any, info: ValidationInfo) -> Any:
        """Defaults are not validated, so only what a study says comes here."""
        schedule = info.data.get("schedule", "step")
        if schedule != "step":
            raise ValueError(
                f'means nothing for schedule = "{schedule}"; remove it, or take schedule = "step"'
            )
        return value

    @field_validator("nesterov")
    @classmethod
    def _with_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("needs momentum above 0")
        return nesterov


class Ladder(Section):
    """The sparsities that are visited: by rung of the paper's ladder, or one by one.

    Attributes:
        rungs: Rung n is the sparsity ``1 - 0.8**n``; empty if sparsities were given.
        sparsities: All of them, ascending, to 12 decimals.

    >>> Ladder(rungs=(2, 1)).sparsities
    (0.2, 0.36)
    """

    rungs: Annotated[
        tuple[Annotated[int, Field(ge=1, le=100)], ...],
        AfterValidator(_listed_once),
        AfterValidator(lambda rungs: tuple(sorted(rungs))),
    ] = ()
    sparsities: Annotated[
        tuple[Annotated[float, AfterValidator(_share)], ...],
        AfterValidator(_listed_once),
        Field(validate_default=True),
    ] = ()

    @field_validator("sparsities")
    @classmethod
    def _one_of_two(cls, given: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if "rungs" not in info.data:
            return given  # the rungs are wrong, which is said already
        if bool(given) == bool(info.data["rungs"]):
            raise ValueError(
                "give either rungs = [3, 6, 9] (sparsity 1 - 0.8**n) or sparsities = [0.5, 0.9]"
            )
        return tuple(sorted(given)) or tuple(round(1 - 0.8**n, 12) for n in info.data["rungs"])


class Pruning(Section):
    """What may be pruned: the weights of these kinds of layers."""

    prunable: Annotated[
        tuple[Literal["conv", "linear", "embedding"], ...],
        AfterValidator(_some),
        AfterValidator(_listed_once),
    ] = ("conv", "linear")


class Corruptions(Section):
    """How the test images are corrupted for mCE and its kin.

    Attributes:
        images: How many test images, each class by its share; 0 is all of them.
        stderr: Or so many that the standard error of an error rate is at most that; 0 is all.
        extra: Whether the four extra kinds are made too; they are shown beside and count in no
            mean.
        seed: Of noise, snow, frost and the like; the same for every network.
        official: Label of a data set to the folder of its published corrupted test set
            (CIFAR-10-C, CIFAR-100-C, ImageNet-C), which is then read instead.
    """

    images: Annotated[int, Field(ge=0)] = 0
    stderr: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    extra: bool = False
    seed: Annotated[int, AfterValidator(_natural)] = 0
    official: Mapping[str, Path] = {}

    @field_validator("images")
    @classmethod
    def _no_single_one(cls, images: int) -> int:
        if images == 1:
            raise ValueError("one image has no standard error; take 2 or more, or 0 for all")
        return images

    @field_validator("stderr")
    @classmethod
    def _one_size(cls, stderr: float, info: ValidationInfo) -> float:
        if stderr and info.data.get("images"):
            raise ValueError("gives the number of images another way; remove it, or images")
        return stderr


class VerdictRules(Section):
    """What the verdict does otherwise than the metrics declare: margins by a metric's label."""

    margins: Mapping[str, Positive] = {}


class Head(Section):
    """The keys above the first table."""

    name: Annotated[str, AfterValidator(checked_name)]
    profile: Profile = "default"
    seeds: Annotated[
        tuple[Annotated[int, AfterValidator(_natural)], ...],
        BeforeValidator(_counted),
        AfterValidator(_some),
        AfterValidator(_listed_once),
    ] = (0, 1, 2, 3, 4)
    equal_budget: bool = False
    plugins: tuple[str, ...] = ()
