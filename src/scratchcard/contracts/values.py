"""The words that everything else is said in: tasks, steps, readings and two errors."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np


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
        pictures: Small arrays by name that the report draws; no number depends on them.
    """

    value: float
    stderr: float
    n: int
    params: Mapping[str, Any] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    examples: np.ndarray | None = None
    replicates: np.ndarray | None = None
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


class UserError(ValueError):
    """Wrong input: the message names the value, what is allowed, and the mend."""


class NotApplicable(ValueError):  # a state of affairs, not a mistake
    """The metric says nothing about this network, for a reason that is shown in its place."""
