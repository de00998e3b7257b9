"""Prune any model from Python, with the same methods and the same bits as a study."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from scratchcard.contracts import Architecture, Context, Method, Narrower, UserError
from scratchcard.masks import Masks
from scratchcard.probe import device_of, floats
from scratchcard.registry import METHODS, check_options
from scratchcard.seeds import torch_stream
from scratchcard.structure import Channels


def prune(
    model: nn.Module,
    method: str,
    *,
    sparsity: float,
    data: Iterable[tuple[torch.Tensor, torch.Tensor]] | None = None,
    seed: int = 0,
    masks: Masks | None = None,
    prunable: Sequence[str] = ("conv", "linear"),
    **options: Any,
) -> Masks | Channels:
    """Choose the masks of ``method`` for ``model`` as it is now, and apply them in place.

    Training is yours: rewind and retrain as the method wants it, calling ``masks.attach`` on your
    optimiser; or run a study, which does all of it.

    Args:
        model: The network to score and prune: fresh for methods that prune before training,
            trained for those that prune after it.
        method: Name of a registered method, such as ``"omp"``.
        sparsity: Share of the prunable weights that shall be zero, exact to one weight.
        data: Batches (images [B, C, H, W] in [0, 1] or uint8, labels [B]) for methods that look at
            data; the first is used.
        seed: Of the method's random draws.
        masks: What an earlier round kept; a cut weight stays cut.
        prunable: Kinds of layers: ``"conv"``, ``"linear"`` (attention too), ``"embedding"``.
        options: The method's own options, such as ``allocation="uniform"``.

    Returns:
        The masks, or the channels that are kept, already applied. A warning names layers that
        were left without a single weight.

    Raises:
        UserError: Unknown method or option, a sparsity out of range, missing data, or a method
            that only a study can run.
    """
    spec = METHODS.get(method)
    check_options("method", spec, options)
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity {sparsity} must lie in [0, 1): the share of weights cut")
    if spec.needs_data and data is None:
        raise UserError(f"{method} looks at training data: pass data=[(images, labels)]")
    images, labels = _first_batch(data) if data is not None else (None, None)
    place = device_of(model)
    wanted = spec.target(**options)
    if wanted.does("update") or wanted.watches or wanted.of or wanted.gives == "narrower":
        raise UserError(
            f"{method} needs more than the network as it is now (its training, or another "
            "network), so it runs in a study: scratchcard run study.toml"
        )
    chosen = choose(
        wanted,
        model=model,
        masks=masks if masks is not None else Masks.ones(model, prunable),
        sparsity=sparsity,
        seed=seed,
        images=None if images is None else floats(images).to(place),
        labels=None if labels is None else labels.to(place),
    )
    assert not isinstance(chosen, Narrower), "refused above"
    chosen.apply_(model)
    if chosen.collapsed:
        layers = ", ".join(chosen.collapsed)
        mend = "take a lower sparsity, or another allocation"
        warnings.warn(f"no weight is left in {layers}; {mend}", stacklevel=2)
    return chosen


def _first_batch(data: Iterable[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(iter(data), None)
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise UserError(
            f"data must yield batches (images, labels), but the first is "
            f"{'missing' if batch is None else type(batch).__name__}: pass data=[(images, labels)]"
        )
    images, labels = batch
    return images, labels


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
