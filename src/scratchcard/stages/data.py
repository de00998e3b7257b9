"""The stage ``data``: the splits of a data set as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scratchcard.contracts import Task
from scratchcard.data.base import Images
from scratchcard.registry import DATASETS
from scratchcard.stages.work import SPLITS, Outcome, Work, splits_of, tuples


def load(work: Work) -> Outcome:
    """All splits; of an out-of-distribution set only images like the source."""
    local = work.stage.local
    paths = {name: Path(path) for name, path in local["paths"].items()}
    dataset = DATASETS.get(work.stage.params["kind"]).target(**tuples(local["options"]), **paths)
    if "source" in work.stage.inputs:
        source = work.input("source")
        task = Task(**work.store.result(source)["task"])
        images = dataset.as_ood(task, splits_of(work.store.root, source))
        return _described(task, (), {"test": images})
    loaded = dataset.splits()
    splits = {name: getattr(loaded, name) for name in SPLITS}
    return _described(dataset.task(), loaded.classes, splits)


def _described(task: Task, classes: Sequence[str], splits: Mapping[str, Images | None]) -> Outcome:
    there = {name: images for name, images in splits.items() if images is not None}
    result = {
        "task": asdict(task),
        "classes": list(classes),
        "sizes": {name: len(images) for name, images in there.items()},
    }
    return result, {
        name: {"pixels": images.pixels.numpy(), "labels": images.labels.numpy()}
        for name, images in there.items()
    }
