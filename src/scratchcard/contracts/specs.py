"""What the planner knows of a registered thing without looking inside it."""

from __future__ import annotations

import hashlib
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
    "concepts": "mapping from the name of each concept set to its Concepts: images with masks",
    "dense_logits": "Predictions of the dense twin on the test split",
    "dense_model": "the dense twin",
    "masks": "Masks of the network; of a dense one they keep everything",
    "other_masks": "mapping from each other method at the same sparsity and seed to its Masks",
    "ood_classes": "mapping from those out-of-distribution sets that are told from some classes "
    "only to the numbers of these classes",
    "corrupted_logits": "mapping from each kind of corruption to five Predictions, of severities "
    "1 to 5 of the test split",
    "corruption_baseline": "ErrorRates of the dense networks, averaged over the seeds",
    "occluded_logits": "Occluded: the log-odds of the predicted class while segments of test "
    "images are black",
    "dense_occluded_logits": "the same of the dense twin",
    "previous_model": "the network of the same method and seed at the ladder's sparsity before, "
    "at the first the dense twin",
    "other_models": "mapping from each other method at the same sparsity and seed to its network",
    "all_models": "mapping from each seed to its network",
    "transfer": "mapping from the name of each other labelled data set to its training and test "
    "Images",
    "all_logits": "mapping from each seed to Predictions of its network on the test split",
    "all_dense_logits": "mapping from each seed to Predictions of its dense twin on the test split",
}
"""What a metric may ask for, by the name of a positional parameter."""


@dataclass(frozen=True)
class Option:
    """An option of a need, which whatever metric has the need passes on.

    Attributes:
        kind: Its type.
        default: Where neither the metric nor the user says otherwise.
        doc: What it does.
    """

    kind: type
    default: Any
    doc: str


OCCLUSION: Mapping[str, Option] = {
    "images": Option(
        int, 200, "Only so many images, drawn class by class, the same for every network; 0: all."
    ),
    "first": Option(bool, False, "Take the first ones instead, as the paper does."),
    "masks": Option(int, 128, "Of every image, 2 or more; the first keeps all its segments."),
    "seed": Option(int, 0, "Of all that is drawn, which depends on it and on the image alone."),
    "batch_size": Option(
        int,
        0,
        "Images per forward pass, which changes the time, not the answer; 0: 16 on a CPU, whose "
        "caches hold no more, else 256.",
    ),
}
NEED_OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "occluded_logits": OCCLUSION,
    "dense_occluded_logits": OCCLUSION,
}
"""Options by need: they are options of every metric that has the need."""
_OF_A_PAIR = ("dense_", "other_", "previous_")


@dataclass(frozen=True)
class Spec:
    """What the planner knows of a registered thing without looking inside it.

    Attributes:
        name: The name a study uses.
        version: Bumped whenever its numbers change; part of every digest.
        target: The function or frozen dataclass itself.
        parameters: Its options: name to (type, default), ``inspect.Parameter.empty`` if required;
            of a metric those of its needs, too.
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
        costly: Whether a study measures it only if it names it.
        timed: Whether it reads a clock, so that measured twice it gives two answers.
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
    costly: bool = False
    timed: bool = False

    @property
    def scope(self) -> Literal["network", "pair", "group"]:
        """Of one network, of a pair (with its twin, or others), or of a group (all seeds)."""
        if any(need.startswith("all_") for need in self.needs):
            return "group"
        return "pair" if any(n.startswith(_OF_A_PAIR) for n in self.needs) else "network"


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
class ConceptsSpec(Spec):
    """A kind of concept set: a frozen dataclass derived from ``data.concepts.ConceptSource``."""


@dataclass(frozen=True)
class ModelSpec(Spec):
    """An architecture: a function ``build(task, *, ...) -> nn.Module``.

    Attributes:
        narrower: Of all its options and a factor, options with every hidden width multiplied by
            the factor: how small-dense makes it (on the meta device, to count weights); None if it
            cannot be made narrower.
    """

    narrower: Callable[[Mapping[str, Any], float], dict[str, Any]] | None = None
