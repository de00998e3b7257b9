"""The stages ``logits`` and ``measure``: one pass over a split, and one metric of one network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from scratchcard import probe
from scratchcard.collect import reading_to_json
from scratchcard.contracts import NotApplicable
from scratchcard.masks import Masks
from scratchcard.metrics.measure import call, options
from scratchcard.registry import METRICS
from scratchcard.stages.work import Outcome, Work, tuples


def predict(work: Work) -> Outcome:
    """Logits of a split."""
    images = work.images(work.stage.params["split"])
    network = work.network("network")
    fast = probe.inference_copy(network, probe.floats(images.pixels[:8]))
    logits = probe.logits(fast, images.pixels)
    return {"n": len(logits)}, {"logits": {"logits": logits}}


def measure(work: Work) -> Outcome:
    """A reading with its arrays, or the reason why there is none."""
    params = work.stage.params
    spec = METRICS.get(params["kind"])
    wanted = options(spec, "default", tuples(params.get("options", {})))
    try:
        reading = call(spec, _providers(work), wanted)
    except NotApplicable as reason:
        return {"not_applicable": str(reason)}, {}
    examples = {"examples": reading.examples, "replicates": reading.replicates}
    kept = {name: array for name, array in examples.items() if array is not None}
    return reading_to_json(reading), {"paired": kept} if kept else {}


def _providers(work: Work) -> dict[str, Callable[[], Any]]:
    """By the name of a need, how it is fetched."""
    return {
        "logits": lambda: work.predictions("logits", "test"),
        "val_logits": lambda: work.predictions("val_logits", "val"),
        "dense_logits": lambda: work.predictions("dense_logits", "test"),
        "ood_logits": lambda: {
            label: work.store.arrays(digest, "logits")["logits"]
            for label, digest in _labelled(work, "ood_logits").items()
        },
        "model": lambda: work.network("model"),
        "dense_model": lambda: work.network("dense_model"),
        "masks": lambda: _masks(work),
        "other_masks": lambda: {
            label: work.masks_of(digest) for label, digest in _labelled(work, "other_masks").items()
        },
        **{split: partial(work.images, split) for split in ("test", "train", "val")},
    }


def _labelled(work: Work, need: str) -> dict[str, str]:
    """Label to digest of the inputs that make up a need."""
    prefix = f"{need}."
    inputs = work.stage.inputs.items()
    return {r.removeprefix(prefix): digest for r, digest in inputs if r.startswith(prefix)}


def _masks(work: Work) -> Masks:
    """Of a ticket; a dense network keeps everything."""
    result = work.store.result(work.input("masks"))
    if "shapes" not in result and "spec" in result:
        return Masks.ones(work.network("masks"), work.stage.params["prunable"])
    return work.masks("masks")
