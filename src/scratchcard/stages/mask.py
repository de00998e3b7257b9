"""The stage ``mask``: one round of a method on a network of the inputs."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import torch

from scratchcard.contracts import Method, Narrower
from scratchcard.masks import Masks
from scratchcard.pruning.choose import choose
from scratchcard.registry import METHODS
from scratchcard.seeds import numpy_stream
from scratchcard.stages.work import Outcome, Work, described
from scratchcard.structure import Channels

SCORING_IMAGES_PER_CLASS = 10
"""Of the class-balanced batch on which methods score, as in GraSP's CIFAR configurations."""


def choose_mask(work: Work) -> Outcome:
    """Masks, the channels to keep, or the options of a narrower model."""
    method = work.method(work.stage.params)
    if "network.0" in work.stage.inputs:
        return _watched(work, method)
    result, arrays = described(_chosen(work, method, "network"))
    return result, {"masks": arrays} if arrays else {}


def _watched(work: Work, method: Method) -> Outcome:
    """Score one checkpoint of dense training after the other until the method has settled."""
    chosen: list[Any] = []
    for number in count():
        chosen.append(_chosen(work, method, f"network.{number}"))
        last = f"network.{number + 1}" not in work.stage.inputs
        settled = number if last else method.settled(chosen)
        if settled is not None:
            result, arrays = described(chosen[settled])
            return {**result, "settled": settled}, {"masks": arrays} if arrays else {}
    raise AssertionError("unreachable: the last checkpoint settles it")


def _chosen(work: Work, method: Method, role: str) -> Masks | Channels | Narrower:
    params = work.stage.params
    model = work.network(role)
    spec = METHODS.get(params["kind"])
    images, labels = _scoring_batch(work) if spec.needs_data else (None, None)
    return choose(
        method,
        model=model,
        masks=work.masks("masks")
        if "masks" in work.stage.inputs
        else Masks.ones(model, params["prunable"]),
        sparsity=params["sparsity"],
        seed=params["seed"],
        images=images,
        labels=labels,
        other=work.masks("other") if "other" in work.stage.inputs else None,
        architecture=work.architecture(role),
    )


def _scoring_batch(work: Work) -> tuple[torch.Tensor, torch.Tensor]:
    """A class-balanced batch of training images [B, C, H, W] in [0, 1] and labels [B], by seed."""
    images = work.images("train")
    labels = images.labels.cpu().numpy()
    rng = numpy_stream(work.stage.params["seed"], "scoring batch")
    rows = [
        rng.permutation(np.flatnonzero(labels == label))[:SCORING_IMAGES_PER_CLASS]
        for label in np.unique(labels)
    ]
    batch = images.take(torch.from_numpy(np.concatenate(rows)))
    return batch.floats(), batch.labels
