"""What the parts of scratchcard promise each other: tasks, steps, specs, readings and methods.

Nothing here imports torch, so that planning, status and help stay quick.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from scratchcard.masks import Masks
    from scratchcard.structure import Channels

Dimension = Literal[
    "generalisation", "calibration", "interpretability", "landscape", "fairness", "efficiency"
]
VOTING: tuple[Dimension, ...] = ("generalisation", "calibration", "interpretability", "landscape")
"""The paper's four dimensions: they decide LTH-PASS; the others are shown beside."""

NEEDS: Mapping[str, str] = {
    "logits": "Predictions of the network on the test split",
    "val_logits": "Predictions of the network on the validation split",
    "ood_logits": "mapping from the name of each out-of-distribution set to its logits [M, K]",
    "model": "the network, in evaluation mode, images in [0, 1] to logits",
    "test": "Images of the test split",
    "train": "Images of the training split, not augmented",
    "val": "Images of the validation split",
    "dense_logits": "Predictions of the dense twin on the test split",
    "dense_model": "the dense twin",
    "masks": "Masks of the network; of a dense one they keep everything",
    "other_masks": "mapping from each other method at the same sparsity and seed to its Masks",
}
"""What a metric may ask for, by the name of a positional parameter."""


@dataclass(frozen=True)
class Task:
    """What a model must fit: images of ``channels x height x width`` in ``classes`` classes."""

    channels: int
    height: int
    width: int
    classes: int

    def __str__(self) -> str:
        return f"{self.channels}x{self.height}x{self.width} images in {self.classes} classes"


@dataclass(frozen=True)
class Step:
    """A moment of training: ``"3ep"``, ``"500it"``, ``"0.75"`` (a fraction) or ``"end"``.

    >>> Step.parse("3ep").iterations(per_epoch=10, total=100)
    30
    >>> Step.parse("0.75").iterations(per_epoch=10, total=100)
    75
    >>> str(Step.parse("1.0"))
    'end'
    """

    value: float
    unit: Literal["ep", "it", "fraction"]

    @classmethod
    def parse(cls, text: str) -> Step:
        """Read a step; a ``UserError`` says what can be written."""
        if text == "end":
            return cls(1.0, "fraction")
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ep|it)?", text)
        value, unit = (float(found[1]), found[2] or "fraction") if found else (-1.0, "")
        if not found or (unit == "fraction" and value > 1) or (unit == "it" and value % 1):
            raise UserError(
                f"step {text!r} is not one of '3ep' (epochs), '500it' (iterations), "
                "'0.75' (a fraction of training) or 'end'"
            )
        return cls(value, typing.cast(Any, unit))

    def iterations(self, *, per_epoch: int, total: int) -> int:
        """The step as a count of SGD steps, rounded; it may lie beyond ``total``."""
        scale = {"ep": per_epoch, "it": 1, "fraction": total}[self.unit]
        return round(self.value * scale)

    def __str__(self) -> str:
        if self.unit == "fraction" and self.value == 1:
            return "end"
        # Every digit counts: the spelling is part of a digest.
        number = f"{self.value:.12f}".rstrip("0").rstrip(".")
        return number if self.unit == "fraction" else f"{number}{self.unit}"


@dataclass(frozen=True)
class Part:
    """One component of a reading (a class, a corruption, an eps): a value, its error and its n."""

    value: float
    stderr: float
    n: int


@dataclass(frozen=True)
class Reading:
    """A metric's answer: a number, its standard error, and what the number rests on.

    Attributes:
        value: The number, as a fraction or in the metric's unit.
        stderr: Its standard error over examples.
        n: How many examples (or probes) it rests on.
        params: The constants it was computed with.
        parts: Components by label; the ``subset`` column of the long table.
        examples: One value per example in split order, whose mean is ``value``; else None.
        replicates: The statistic on resampled examples, the same resamples for every network
            (``stats.resamples``), so that differences of networks are paired; else None.
    """

    value: float
    stderr: float
    n: int
    params: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    examples: np.ndarray | None = None
    replicates: np.ndarray | None = None


@dataclass(frozen=True)
class Spec:
    """What the planner knows of a registered thing without looking inside it.

    Attributes:
        name: The name a study uses.
        version: Bumped whenever its numbers change; part of every digest.
        target: The function or frozen dataclass itself.
        parameters: Its options: name to (type, default), ``inspect.Parameter.empty`` if required.
        doc: The cleaned docstring.
        origin: ``module:qualified name``.
    """

    name: str
    version: int
    target: Callable[..., Any]
    parameters: Mapping[str, tuple[Any, Any]]
    doc: str
    origin: str

    @classmethod
    def common(cls, name: str, version: int, target: Callable[..., Any]) -> dict[str, Any]:
        """The fields that every kind of spec reads off its target."""
        options = {
            p.name: p
            for p in inspect.signature(target).parameters.values()
            if p.kind is p.KEYWORD_ONLY or isinstance(target, type)
        }
        hints = typing.get_type_hints(target) if options else {}
        return {
            "name": name,
            "version": version,
            "target": target,
            "parameters": {k: (hints.get(k, Any), p.default) for k, p in options.items()},
            "doc": inspect.getdoc(target) or "",
            "origin": f"{target.__module__}:{target.__qualname__}",
        }

    @property
    def file(self) -> Path | None:
        """The file of a plug-in; None for what is built in, or has no file (a notebook's)."""
        if self.origin.startswith("scratchcard."):
            return None
        try:
            return Path(inspect.getsourcefile(self.target) or "")
        except TypeError:
            return None

    @property
    def revision(self) -> str:
        """The version; of a plug-in with a hash of its file, since nobody pins its digests."""
        if self.file is None or not self.file.is_file():
            return str(self.version)
        return f"{self.version}-{hashlib.sha256(self.file.read_bytes()).hexdigest()[:8]}"

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.doc.partition("\n")[0]

    def changed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that differ from their defaults: what a digest holds."""
        return {k: v for k, v in params.items() if v != self.parameters[k][1]}


@dataclass(frozen=True)
class MetricSpec(Spec):
    """A metric: what it measures, which way is better, and what it needs.

    Attributes:
        title: As printed in tables and charts.
        dimension: One of the design's six.
        better: ``"higher"`` or ``"lower"``.
        unit: ``"fraction"`` (percent on the page) or ``""`` for a plain number.
        needs: Names out of ``NEEDS``: the metric's positional parameters.
        headline: Whether it votes in the verdict.
        margin: The difference that matters, in ``scale``; None if it cannot vote.
        scale: ``"linear"``, or ``"log"`` where ratios are compared.
        paper: Constants of the official code, used by the profile ``paper``.
        caution: How the number is known to mislead; printed beside it.
    """

    title: str = ""
    dimension: Dimension = "generalisation"
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["fraction", ""] = "fraction"
    needs: tuple[str, ...] = ()
    headline: bool = False
    margin: float | None = None
    scale: Literal["linear", "log"] = "linear"
    paper: Mapping[str, Any] = field(default_factory=dict)
    caution: str = ""

    @property
    def scope(self) -> Literal["network", "pair"]:
        """``"pair"`` where another network is needed too, such as the twin, else ``"network"``."""
        return "pair" if any(n.startswith(("dense_", "other_")) for n in self.needs) else "network"


@dataclass(frozen=True)
class MethodSpec(Spec):
    """A pruning method: when it prunes, and whether it looks at training data.

    Attributes:
        title: As printed in tables and charts.
        when: Before, during or after training.
        needs_data: Whether ``Context.images`` and ``labels`` are wanted.
        control: Whether it is no contender: a baseline, or another method with something undone.
    """

    title: str = ""
    when: Literal["before", "during", "after"] = "after"
    needs_data: bool = False
    control: bool = False


@dataclass(frozen=True)
class DatasetSpec(Spec):
    """A kind of data set: a frozen dataclass derived from ``scratchcard.data.Dataset``."""


@dataclass(frozen=True)
class ModelSpec(Spec):
    """An architecture: a function ``build(task, *, ...) -> nn.Module``.

    Attributes:
        narrower: Of all its options and a factor, options with every hidden width multiplied by
            the factor: how small-dense makes it (on the meta device, to count weights); None if it
            cannot be made narrower.
    """

    narrower: Callable[[Mapping[str, Any], float], dict[str, Any]] | None = None


@dataclass(frozen=True)
class Architecture:
    """A registered model as a study builds it: its name, what it must fit, and every option."""

    kind: str
    task: Task
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What a method sees when it chooses a mask.

    Attributes:
        model: The network to score, a private copy; leave its parameters as they are.
        masks: What earlier rounds kept (everything, at first); a weight once cut stays cut.
        sparsity: The share of all prunable weights that shall be zero now.
        generator: The method's own stream of random numbers, on the CPU.
        images: A class-balanced, un-augmented batch in [0, 1], [B, C, H, W]; or None.
        labels: Its labels [B]; or None.
        other: The finished mask of the method that ``Method.of`` names; or None.
        architecture: Where the model comes from; None if it is the user's own.
    """

    model: nn.Module
    masks: Masks
    sparsity: float
    generator: torch.Generator
    images: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    other: Masks | None = None
    architecture: Architecture | None = None


@dataclass(frozen=True)
class Narrower:
    """Another width of the same architecture: what ``small-dense`` gives in place of masks.

    Attributes:
        options: Every option of the model.
        left: How many prunable weights it has.
        total: How many the network has that it stands for.
    """

    options: Mapping[str, Any]
    left: int
    total: int


@dataclass(frozen=True)
class Moment:
    """A step of a training that is under way.

    Attributes:
        step: SGD steps done, counted from the start of the recipe.
        per_epoch: Steps an epoch.
        total: Steps of the whole recipe.

    >>> Moment(step=10, per_epoch=50, total=200).at("0.75")
    150
    """

    step: int
    per_epoch: int
    total: int

    def at(self, step: str) -> int:
        """``"3ep"``, ``"500it"`` or ``"0.75"`` as a count of SGD steps."""
        return Step.parse(step).iterations(per_epoch=self.per_epoch, total=self.total)


class Method(ABC):
    """A pruning method; a frozen dataclass whose fields are its options.

    The defaults describe one-shot pruning at initialisation; override what differs.
    """

    gives: ClassVar[Literal["masks", "channels", "narrower"]] = "masks"
    """What ``start`` gives: masks, a shrunk network, or another width of the same architecture."""

    replaces_step: ClassVar[bool] = True
    """Whether an update of the masks takes the place of the SGD step."""

    def ladder(self, sparsities: tuple[float, ...]) -> tuple[float, ...]:
        """The sparsities that the method visits: the study's, unless it has one of its own."""
        return sparsities

    def rounds(self, sparsity: float) -> tuple[float, ...]:
        """The sparsities visited on the way, the last being ``sparsity`` itself."""
        return (sparsity,)

    @property
    def scored_at(self) -> str:
        """The step at which a network is scored: the dense one first, then the previous round's."""
        return "0ep"

    @property
    def starts_from(self) -> str:
        """Where in schedule and data order a ticket's training begins; "": where that of ``of``."""
        return "0ep"

    @property
    def weights(self) -> Literal["rewound", "trained"]:
        """Whether a ticket takes the dense weights of ``starts_from``, or those just scored."""
        return "rewound"

    @property
    def watches(self) -> tuple[str, ...]:
        """Steps of dense training of which one is chosen to prune at; see ``settled``."""
        return ()

    def settled(self, chosen: Sequence[Any]) -> int | None:
        """Which watched step to prune at, given what would be kept at each so far; None: wait."""
        raise NotImplementedError

    @property
    def of(self) -> str | None:
        """The method of the study whose finished mask is wanted as ``Context.other``."""
        return None

    def recipe(self, training: Mapping[str, Any], sparsity: float) -> Mapping[str, Any]:
        """The recipe of a ticket's training, made of the study's."""
        return training

    def keeps(self, masks: Masks, sparsity: float) -> int:
        """How many weights ``start`` keeps: ``N - round(s N)``, unless it says otherwise."""
        return masks.count_at(sparsity)

    @abstractmethod
    def start(self, ctx: Context) -> Masks | Channels | Narrower:
        """What training starts with: masks with exactly ``keeps`` weights, or a smaller network."""

    def begin(self, ctx: Context) -> None:
        """Change the weights a ticket starts from, ``ctx.model``, in place."""
        raise NotImplementedError

    def update(self, ctx: Context, moment: Moment) -> Masks | None:
        """New masks, or None; asked at every step, with dense gradients in ``p.grad``.

        ``ctx.model`` is the network in training, ``ctx.masks`` what it keeps now, and
        ``ctx.generator`` depends on the seed and the step alone, so that a run may be resumed.
        """
        raise NotImplementedError

    def does(self, hook: Literal["begin", "update"]) -> bool:
        """Whether the method overrides ``begin`` or ``update``."""
        return getattr(type(self), hook) is not getattr(Method, hook)


class UserError(ValueError):
    """Wrong input: the message names the value, what is allowed, and the mend."""


class NotApplicable(ValueError):  # a state of affairs, not a mistake
    """The metric says nothing about this network, for a reason that is shown in its place."""
