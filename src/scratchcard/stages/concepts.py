"""The stage ``concepts``: images with masks of concepts, in the shape that the networks take."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from scratchcard.contracts import Task
from scratchcard.data.base import Images
from scratchcard.data.concepts import Concepts
from scratchcard.registry import CONCEPTS
from scratchcard.stages.work import Outcome, Work, splits_of, tuples
from scratchcard.store import Store


def make_concepts(work: Work) -> Outcome:
    """A concept set with its images."""
    local, source = work.stage.local, work.input("source")
    paths = {name: Path(path) for name, path in local["paths"].items()}
    kind = CONCEPTS.get(work.stage.params["kind"])
    task = Task(**work.store.result(source)["task"])
    made = kind.target(**tuples(local["options"]), **paths)
    found: Concepts = made.concepts(task, splits_of(work.store.root, source))
    result = {
        "names": list(found.names),
        "categories": list(found.categories),
        "size": list(found.size),
        "images": len(found.images),
    }
    return result, {"concepts": {"pixels": found.images.pixels.numpy(), "packed": found.packed}}


@lru_cache(maxsize=4)
def concepts_of(root: Path, digest: str, device: str) -> Concepts:
    """A stored concept set; long-lived workers keep the latest ones."""
    store = Store(root)
    result, arrays = store.result(digest), store.arrays(digest, "concepts")
    pixels = torch.from_numpy(arrays["pixels"])
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.long)).to(device)
    height, width = result["size"]
    return Concepts(
        images,
        tuple(result["names"]),
        tuple(result["categories"]),
        (height, width),
        arrays["packed"],
    )
