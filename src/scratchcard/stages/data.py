"""The stage ``data``: the splits of a data set as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from scratchcard.contracts import Task
from scratchcard.data.base import Dataset, Images
from scratchcard.data.pictures import fit, reencode
from scratchcard.registry import DATASETS
from scratchcard.stages.work import SPLITS, Outcome, Work, splits_of, tuples


def load(work: Work) -> Outcome:
    """All splits; of an out-of-distribution or a transfer set in the shape of the source."""
    local = work.stage.local
    paths = {name: Path(path) for name, path in local["paths"].items()}
    dataset = DATASETS.get(work.stage.params["kind"]).target(**tuples(local["options"]), **paths)
    if "source" in work.stage.inputs:
        source = work.input("source")
        task = Task(**work.store.result(source)["task"])
        if work.stage.local["table"] == "transfer":
            return _transfer(dataset, task)
        known = splits_of(work.store.root, source)
        result, arrays = _described(task, (), {"test": dataset.as_ood(task, known)})
        return {**result, "told_from": dataset.told_from(known)}, arrays
    loaded = dataset.splits()
    splits = {name: getattr(loaded, name) for name in SPLITS}
    return _described(dataset.task(), loaded.classes, splits)


def _transfer(dataset: Dataset, task: Task) -> Outcome:
    """Training and test images in the shape that the networks take."""
    loaded = replace(dataset, jpeg=None).splits()
    splits = {name: fit(getattr(loaded, name), task) for name in ("train", "test")}
    if dataset.jpeg is not None:
        splits = {name: reencode(images, dataset.jpeg) for name, images in splits.items()}
    own = replace(task, classes=len(loaded.classes))
    return _described(own, loaded.classes, splits)


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
