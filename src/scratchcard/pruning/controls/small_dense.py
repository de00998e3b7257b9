"""A narrower dense network with as many weights as a ticket keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch

from scratchcard.contracts import Context, Method, ModelSpec, Narrower, Task, UserError
from scratchcard.prunable import KINDS, prunable
from scratchcard.registry import MODELS, method


@method("small-dense", title="Small dense", when="before", control=True)
@dataclass(frozen=True)
class SmallDense(Method):
    """Small dense: a narrower network of the same architecture, with as many weights as a ticket.

    Definition:
        All hidden widths of the architecture are multiplied by one factor and rounded; the factor
        is the one whose network has the number of prunable weights nearest to what a ticket keeps
        (of two equally near, the smaller). It has an initialisation of its own and is trained like
        the dense network.

    Formula:
        c* = argmin over c in (0, 1] of |N(c) - (N - round(s N))|, N(c) counting the same kinds of
        layers as the study prunes.

    Use:
        The first alternative to pruning: a ticket that does not beat it at the same size has won
        nothing, since a narrow network is faster on any hardware.

    Limits:
        It sits at the nearest reachable count, not at the ticket's exactly. One factor for all
        layers is not the best way to be small. Where shortcuts need weights only between unequal
        widths, counts may fall as the factor grows, and a nearer one elsewhere is missed.

    Source:
        Small-Dense in Chen et al., "Can You Win Everything with A Lottery Ticket?", TMLR 2022;
        Evci et al., "Rigging the Lottery", ICML 2020. The widths of the former, which keep 21 % of
        the weights of all convolutions (ResNet-50: 51 %), are no multiples of one factor: train
        them as a model of the study. ``cifar-resnet`` with ``widths = [13, 17, 25]``,
        ``wide-resnet`` with ``widths = [120, 170, 260]``, ``resnet`` with
        ``widths = [32, 77, 132, 215]``, or at depth 50 with ``widths = [47, 96, 196, 348]``.

    Options:
        None.
    """

    gives: ClassVar[Literal["masks", "channels", "narrower"]] = "narrower"

    def start(self, ctx: Context) -> Narrower:
        """The options of the narrower network.

        Raises:
            UserError: The model is not built from the registry, or cannot be made narrower.
        """
        if (own := ctx.architecture) is None:
            raise UserError(
                "small-dense builds a narrower network of the same architecture, but this model is "
                "not built from the registry: register it with @scratchcard.model, and name it in "
                "a study"
            )
        spec = MODELS.get(own.kind)
        narrower = _narrower(spec)
        kinds, sizes = _kinds(ctx), dict[str, int]()

        def size(factor: float) -> int:
            options = narrower(own.options, factor)
            if (key := repr(options)) not in sizes:
                sizes[key] = _size(spec, own.task, options, kinds)
            return sizes[key]

        factor = nearest(size, ctx.masks.count_at(ctx.sparsity))
        return Narrower(narrower(own.options, factor), size(factor), ctx.masks.total)


def nearest(size: Callable[[float], int], wanted: int) -> float:
    """The factor in (0, 1] whose ``size``, which grows with it, is nearest to ``wanted``.

    Of two sizes equally near it takes the smaller; the factor is rounded as far as its size allows.

    >>> nearest(lambda factor: round(factor * 300) ** 2, 10_000)
    0.332
    """
    low, high = 1e-6, 1.0
    # Down to neighbouring floats: where several widths round at one factor, it alone may do.
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if size(middle) < wanted else (low, middle)
    factor = min((low, high), key=lambda each: abs(size(each) - wanted))
    short = (float(f"{factor:.{digits}g}") for digits in range(1, 18))
    return next(each for each in short if size(each) == size(factor))


def _narrower(spec: ModelSpec) -> Callable[[Mapping[str, Any], float], dict[str, Any]]:
    if spec.narrower is None:
        able = [name for name in MODELS.names() if MODELS.get(name).narrower is not None]
        raise UserError(
            f'small-dense cannot make model "{spec.name}" narrower (it can: {", ".join(able)}); '
            "give its decorator narrower="
        )
    return spec.narrower


def _kinds(ctx: Context) -> list[str]:
    """The kinds of layers that are pruned: those whose weights all have masks."""
    layers = list(ctx.model.modules())
    found = [kind for kind, types in KINDS.items() if any(isinstance(m, types) for m in layers)]
    return [kind for kind in found if ctx.masks.keys() >= prunable(ctx.model, [kind]).keys()]


def _size(spec: ModelSpec, task: Task, options: Mapping[str, Any], kinds: list[str]) -> int:
    """How many prunable weights a network has, of which no weight is drawn."""
    with torch.device("meta"):
        network = spec.target(task, **options)
    return sum(weight.numel() for weight in prunable(network, kinds).values())
