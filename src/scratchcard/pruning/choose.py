"""One round of a method on a private copy of a network, checked: what studies and users share."""

from __future__ import annotations

import copy

import torch
from torch import nn

from scratchcard.contracts import Architecture, Context, Method, Narrower, UserError
from scratchcard.masks import Masks
from scratchcard.seeds import torch_stream
from scratchcard.structure import Channels


def choose(
    method: Method,
    *,
    model: nn.Module,
    masks: Masks,
    sparsity: float,
    seed: int,
    images: torch.Tensor | None = None,
    labels: torch.Tensor | None = None,
    other: Masks | None = None,
    architecture: Architecture | None = None,
) -> Masks | Channels | Narrower:
    """One round of ``method``, ``model`` left as it was; masks keep exactly what they should.

    Raises:
        UserError: Fewer weights are left than ``sparsity`` keeps, or ``masks`` are another model's.
    """
    masks = masks.to("cpu")
    wanted = method.keeps(masks, sparsity) if other is None else other.kept
    if wanted > masks.kept:
        raise UserError(
            f"sparsity {sparsity:g} keeps more weights than the {masks.kept:,} that are left "
            f"(sparsity {masks.sparsity:g})"
        )
    private = copy.deepcopy(model)
    masks.apply_(private)
    context = Context(
        model=private,
        masks=masks,
        sparsity=sparsity,
        generator=torch_stream(seed, "prune"),
        images=images,
        labels=labels,
        other=other,
        architecture=architecture,
    )
    chosen = method.start(context)
    if isinstance(chosen, Masks):
        assert chosen.kept == wanted, f"{chosen!r} does not keep {wanted:,} weights"
        assert not any((chosen[n] & ~masks[n]).any() for n in masks), "a cut weight was revived"
    return chosen
