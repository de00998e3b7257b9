"""What a stage does: data and corruptions, concepts, training, masks, answers, measuring.

``execute`` is all that an engine calls; it reads inputs from the store and commits one result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from scratchcard.graph import Stage
from scratchcard.plugins import load_plugins
from scratchcard.provenance import provenance
from scratchcard.stages.concepts import make_concepts
from scratchcard.stages.corrupt import corrupt_images
from scratchcard.stages.data import load
from scratchcard.stages.mask import choose_mask
from scratchcard.stages.measure import measure
from scratchcard.stages.occlude import occlude_images
from scratchcard.stages.predict import average_errors, predict
from scratchcard.stages.train import train_network
from scratchcard.stages.work import Outcome, Tick, Work
from scratchcard.store import Store

__all__ = ["execute"]

RUN: Mapping[str, Callable[[Work], Outcome]] = {
    "data": load,
    "corrupt": corrupt_images,
    "concepts": make_concepts,
    "train": train_network,
    "mask": choose_mask,
    "logits": predict,
    "occlude": occlude_images,
    "baseline": average_errors,
    "measure": measure,
}


def execute(stage: Stage, store: Store, tick: Tick) -> None:
    """Run ``stage`` and commit its result; what it raises is the engine's to record."""
    load_plugins(stage.local["plugins"], Path(stage.local["folder"]))
    started = time.perf_counter()
    result, arrays = RUN[stage.kind](Work(stage, store, tick))
    # What killed runs had done counts, or an interrupted training would look cheap.
    seconds = time.perf_counter() - started + result.pop("earlier_seconds", 0.0)
    store.commit(
        stage.digest,
        result=result,
        provenance=provenance(seconds, label=stage.label),
        arrays=arrays,
    )
