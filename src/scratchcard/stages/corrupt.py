"""The stage ``corrupt``: the test images under one kind of corruption, at one severity.

It is done once for a data set; all networks are shown the same images.
"""

from __future__ import annotations

from pathlib import Path

import torch

from scratchcard import seeds
from scratchcard.contracts import UserError
from scratchcard.data.base import Images
from scratchcard.data.choose import choose
from scratchcard.data.corruptions import corrupt, official
from scratchcard.stages.work import Outcome, Work
from scratchcard.stats import sample_size

CHUNK = 1_000
"""Images between two reports of progress."""


def corrupt_images(work: Work) -> Outcome:
    """Test images, corrupted here or read from the official files."""
    clean = work.images("test")
    if "official" in work.stage.local:
        images = _read(work, clean)
    else:
        images = _make(work, clean, _sample(work, clean.labels))
    arrays = {"pixels": images.pixels.cpu().numpy(), "labels": images.labels.cpu().numpy()}
    return {"sizes": {"test": len(images)}}, {"test": arrays}


def _sample(work: Work, labels: torch.Tensor) -> torch.Tensor:
    """Numbers of the images that are taken, each class by its share."""
    size = {key: work.stage.params[key] for key in ("images", "stderr") if key in work.stage.params}
    rng = seeds.numpy_stream(0, "corruptions")
    count = sample_size(len(labels), **size)
    return torch.from_numpy(choose(labels.cpu().numpy(), count, rng, even=False))


def _make(work: Work, clean: Images, index: torch.Tensor) -> Images:
    """The images at ``index``, each corrupted by draws that depend on its number."""
    params, taken = work.stage.params, clean.take(index)
    done = []
    for rows in torch.split(torch.arange(len(index)), CHUNK):
        pixels = taken.pixels[rows.to(taken.pixels.device)]
        kind, severity = params["corruption"], params["severity"]
        done.append(corrupt(pixels, kind, severity, seed=params["seed"], index=index[rows]))
        work.tick(float(rows[-1] + 1) / len(index))
    return Images(torch.cat(done), taken.labels)


def _read(work: Work, clean: Images) -> Images:
    """The official images of the classes that the networks know; a ``UserError`` if they misfit."""
    params, local = work.stage.params, work.stage.local
    rows = official(
        Path(local["official"]),
        params["corruption"],
        params["severity"],
        classes=work.store.result(work.input("data"))["classes"],
        held_out=local["held_out"],
    )
    images = rows.take(_sample(work, rows.labels))
    if images.task_shape != clean.task_shape:
        raise UserError(
            f"the images of {local['official']} have the shape {images.task_shape} (channels, "
            f"height, width), those of the data set {clean.task_shape}; they cannot be resized, "
            "for that smooths the corruption away: give the data set that size"
        )
    return images
