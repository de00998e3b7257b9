"""What architectures share about their options: widths, and refusals of what cannot be built."""

from __future__ import annotations

from collections.abc import Sequence

from scratchcard.contracts import Task, UserError

SMALL = 64
"""Pixels from which images are taken for ImageNet's rather than CIFAR's."""


def scaled(widths: Sequence[int], factor: float) -> tuple[int, ...]:
    """Widths times ``factor``, rounded, at least 1.

    >>> scaled((16, 32, 64), 0.5)
    (8, 16, 32)
    >>> scaled((16, 32, 64), 0.01)
    (1, 1, 1)
    """
    return tuple(max(1, round(width * factor)) for width in widths)


def check_widths(widths: Sequence[int], count: int, example: Sequence[int]) -> tuple[int, ...]:
    """``widths``, or a ``UserError`` unless they are ``count`` positive numbers."""
    if len(widths) != count or min(widths) < 1:
        raise UserError(
            f"widths = {list(widths)} must name {count} stages of at least one channel, "
            f"such as {list(example)}"
        )
    return tuple(widths)


def check_positive(name: str, value: float, example: float) -> None:
    """A ``UserError`` unless ``value`` is positive."""
    if value <= 0:
        raise UserError(f"{name} = {value} must be positive, such as {example}")


def check_dropout(dropout: float) -> None:
    """A ``UserError`` unless ``dropout`` is a probability below 1."""
    if not 0 <= dropout < 1:
        raise UserError(f"dropout = {dropout} must be at least 0 and below 1, such as 0.1")


def check_depth(depth: int, known: Sequence[int]) -> None:
    """A ``UserError`` unless ``depth`` is one of ``known``."""
    if depth not in known:
        nearest = min(known, key=lambda each: abs(each - depth))
        raise UserError(f"depth = {depth} is none of {', '.join(map(str, known))}; take {nearest}")


def cifar_or_imagenet(name: str, value: str, task: Task) -> str:
    """``value``, where ``"auto"`` is ``"cifar"`` for images below 64 pixels, else ``"imagenet"``.

    >>> cifar_or_imagenet("stem", "auto", Task(3, 32, 32, 10))
    'cifar'
    """
    if value not in ("auto", "cifar", "imagenet"):
        raise UserError(f'{name} = "{value}" must be "auto", "cifar" or "imagenet"')
    if value != "auto":
        return value
    return "cifar" if min(task.height, task.width) < SMALL else "imagenet"
