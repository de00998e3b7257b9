"""Prune any model from Python, with the same methods and the same bits as a study."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from scratchcard.contracts import Narrower, UserError
from scratchcard.masks import Masks
from scratchcard.probe import device_of, floats
from scratchcard.pruning.choose import choose
from scratchcard.registry import METHODS, check_options
from scratchcard.structure import Channels

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def prune(
    model: nn.Module,
    method: str,
    *,
    sparsity: float,
    data: Batches | None = None,
    seed: int = 0,
    masks: Masks | None = None,
    prunable: Sequence[str] = ("conv", "linear"),
    **options: Any,
) -> Masks:
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
        The masks, already applied. A warning names layers left without a single weight.

    Raises:
        UserError: Unknown method or option, a sparsity out of range, missing data, or a method
            that only a study can run.
    """
    alive = masks if masks is not None else Masks.ones(model, prunable)
    chosen = _chosen("masks", model, method, alive, sparsity, data, seed, options)
    assert isinstance(chosen, Masks), f"{method} gives masks, it says"
    chosen.apply_(model)
    if chosen.collapsed:
        layers = ", ".join(chosen.collapsed)
        mend = "take a lower sparsity, or another allocation"
        warnings.warn(f"no weight is left in {layers}; {mend}", stacklevel=2)
    return chosen


def shrink(
    model: nn.Module,
    method: str,
    *,
    sparsity: float,
    data: Batches,
    seed: int = 0,
    prunable: Sequence[str] = ("conv", "linear"),
    **options: Any,
) -> Channels:
    """Remove whole channels of ``model`` in place, as ``method`` chooses them: it gets smaller.

    Make the optimiser afterwards. The record that is returned shrinks a stock network of the same
    class in the same way, so that saved weights load strictly.

    Args:
        model: As in ``prune``.
        method: Name of a method that prunes channels, such as ``"channels"``.
        sparsity: Share of the prunable weights that shall go; the nearest reachable count is taken
            (``Channels.sparsity`` says which).
        data: As in ``prune``; the first batch is what the network is traced on.
        seed: As in ``prune``.
        prunable: Kinds of layers whose weights are counted.
        options: The method's own options, such as ``importance="taylor"``.

    Raises:
        UserError: As in ``prune``, and where no channel can be removed.
    """
    alive = Masks.ones(model, prunable)
    chosen = _chosen("channels", model, method, alive, sparsity, data, seed, options)
    assert isinstance(chosen, Channels), f"{method} gives channels, it says"
    chosen.apply_(model)
    return chosen


def _chosen(
    gives: Literal["masks", "channels"],
    model: nn.Module,
    method: str,
    masks: Masks,
    sparsity: float,
    data: Batches | None,
    seed: int,
    options: dict[str, Any],
) -> Masks | Channels | Narrower:
    """What ``method`` chooses, not yet applied."""
    spec = METHODS.get(method)
    check_options("method", spec, options)
    if not 0 <= sparsity < 1:
        raise UserError(f"sparsity {sparsity} must lie in [0, 1): the share of weights cut")
    if spec.needs_data and data is None:
        raise UserError(f"{method} looks at training data: pass data=[(images, labels)]")
    wanted = spec.target(**options)
    if wanted.does("update") or wanted.watches or wanted.of or wanted.gives == "narrower":
        raise UserError(
            f"{method} needs more than the network as it is now (its training, or another "
            "network), so it runs in a study: scratchcard run study.toml"
        )
    if wanted.gives != gives:
        other = {"masks": "scratchcard.prune", "channels": "scratchcard.shrink"}[wanted.gives]
        raise UserError(f"{method} gives {wanted.gives}: call {other}")
    images, labels = _first_batch(data) if data is not None else (None, None)
    place = device_of(model)
    return choose(
        wanted,
        model=model,
        masks=masks,
        sparsity=sparsity,
        seed=seed,
        images=None if images is None else floats(images).to(place),
        labels=None if labels is None else labels.to(place),
    )


def _first_batch(data: Iterable[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(iter(data), None)
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise UserError(
            f"data must yield batches (images, labels), but the first is "
            f"{'missing' if batch is None else type(batch).__name__}: pass data=[(images, labels)]"
        )
    images, labels = batch
    return images, labels
