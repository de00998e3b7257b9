"""What a stage does: load data, train, choose a mask, take logits, measure.

``execute`` is all that an engine calls; it reads inputs from the store and commits one result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scratchcard import models, probe
from scratchcard.collect import reading_to_json
from scratchcard.contracts import Task
from scratchcard.data.base import Images, Splits
from scratchcard.graph import Stage
from scratchcard.masks import Masks
from scratchcard.metrics.measure import call, options
from scratchcard.provenance import provenance
from scratchcard.pruning.prune import choose
from scratchcard.registry import DATASETS, METHODS, METRICS, load_plugins
from scratchcard.seeds import numpy_stream
from scratchcard.store import Store
from scratchcard.study import Training
from scratchcard.training import Clock, Trainee, optimizer_of, train

Tick = Callable[[float], None]
Arrays = Mapping[str, Mapping[str, np.ndarray]]

SPLITS = ("train", "test", "val", "held_out")

SCORING_IMAGES_PER_CLASS = 10
"""Of the class-balanced batch on which methods score, as in GraSP's CIFAR configurations."""


@dataclass(frozen=True)
class Work:
    """A stage with its surroundings: the store it reads from, and the way to report progress."""

    stage: Stage
    store: Store
    tick: Tick

    @property
    def device(self) -> str:
        """Kind of device to run on."""
        return str(self.stage.params.get("device", "cpu"))

    def input(self, role: str) -> str:
        """Digest of an input."""
        return self.stage.inputs[role]

    def images(self, split: str, role: str = "data") -> Images:
        """A split of a data input, on the device."""
        images = _split(self.store.root, self.input(role), split, self.device)
        if images is None:
            raise ValueError(f"the data has no {split} split")
        return images

    def network(self, role: str) -> nn.Module:
        """A trained network of the inputs, in evaluation mode."""
        digest = self.input(role)
        model, _ = _trainee(self.store.result(digest)["spec"], self.device)
        weights = {
            name.removeprefix("model."): torch.from_numpy(value)
            for name, value in self.store.arrays(digest, "weights").items()
            if name.startswith("model.")
        }
        model.load_state_dict(weights)
        return model.eval()

    def masks(self, role: str) -> Masks:
        """Masks of an input."""
        digest = self.input(role)
        return Masks.unpack(self.store.arrays(digest, "masks"), self.store.result(digest)["shapes"])

    def predictions(self, role: str, split: str) -> probe.Predictions:
        """Logits of an input with the labels of the split."""
        logits = self.store.arrays(self.input(role), "logits")["logits"]
        return probe.Predictions(logits, self.images(split).labels.cpu().numpy())


def execute(stage: Stage, store: Store, tick: Tick) -> None:
    """Run ``stage`` and commit its result; what it raises is the engine's to record."""
    load_plugins(stage.local["plugins"], Path(stage.local["folder"]))
    started = time.perf_counter()
    run = {"data": _data, "train": _train, "mask": _mask, "logits": _logits, "measure": _measure}
    result, arrays = run[stage.kind](Work(stage, store, tick))
    # What killed runs had done counts, or an interrupted training would look cheap.
    seconds = time.perf_counter() - started + result.pop("earlier_seconds", 0.0)
    store.commit(
        stage.digest,
        result=result,
        provenance=provenance(seconds, label=stage.label),
        arrays=arrays,
    )


def _data(work: Work) -> tuple[dict[str, Any], Arrays]:
    """Splits of a data set as arrays; of an out-of-distribution set only images like the source."""
    local = work.stage.local
    paths = {name: Path(path) for name, path in local["paths"].items()}
    dataset = DATASETS.get(work.stage.params["kind"]).target(**_tuples(local["options"]), **paths)
    if "source" in work.stage.inputs:
        source = work.input("source")
        task = Task(**work.store.result(source)["task"])
        images = dataset.as_ood(task, _splits(work.store.root, source))
        return _described(task, (), {"test": images})
    loaded = dataset.splits()
    splits = {name: getattr(loaded, name) for name in SPLITS}
    return _described(dataset.task(), loaded.classes, splits)


def _described(
    task: Task, classes: Sequence[str], splits: Mapping[str, Images | None]
) -> tuple[dict[str, Any], Arrays]:
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


def _train(work: Work) -> tuple[dict[str, Any], Arrays]:
    """From the start, or the last checkpoint of the same trajectory, to ``step``."""
    params, images = work.stage.params, work.images("train")
    recipe = Training(**params["recipe"])
    clock = Clock(recipe, len(images))
    until = clock.at(params["step"])
    spec = {
        "model": params["model"],
        "task": work.store.result(work.input("data"))["task"],
        "seed": params["seed"],
        "recipe": params["recipe"],
    }
    model, trainee = _trainee(spec, work.device)
    begin = 0
    if "start" in work.stage.inputs:
        begin = _restore(trainee, work.store, work.input("start"), weights_only=True)
    for earlier in work.stage.after:
        if trainee.step <= work.store.result(earlier)["progress"]["step"] <= until:
            _restore(trainee, work.store, earlier, weights_only=False)
    masks = work.masks("mask") if "mask" in work.stage.inputs else None
    train(
        trainee,
        images,
        recipe,
        seed=params["seed"],
        until=until,
        masks=masks,
        checkpoint=work.store.scratch(work.stage.digest) / "checkpoint",
        tick=work.tick,
    )
    if masks is not None:
        masks.check(model)
    seen = max(until - begin, 0) * min(recipe.batch_size, len(images))
    result = {
        "spec": spec,
        "trajectory": _trajectory(work.stage),
        "progress": trainee.progress(),
        "earlier_seconds": trainee.earlier,
        "images": seen,
        "flops": 3 * seen * _forward_flops(model, images),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return result, {"weights": {k: v.numpy() for k, v in trainee.arrays().items()}}


def _mask(work: Work) -> tuple[dict[str, Any], Arrays]:
    """One round of a method on a network of the inputs."""
    params = work.stage.params
    spec = METHODS.get(params["kind"])
    model = work.network("network")
    earlier = work.masks("masks") if "masks" in work.stage.inputs else None
    images, labels = _scoring_batch(work) if spec.needs_data else (None, None)
    masks = choose(
        spec.target(**_tuples(params.get("options", {}))),
        model=model,
        masks=earlier or Masks.ones(model, params["prunable"]),
        sparsity=params["sparsity"],
        seed=params["seed"],
        images=images,
        labels=labels,
    )
    result = {
        "shapes": masks.shapes(),
        "layers": masks.layers(),
        "kept": masks.kept,
        "total": masks.total,
        "sparsity": masks.sparsity,
        "collapsed": list(masks.collapsed),
    }
    return result, {"masks": masks.pack()}


def _logits(work: Work) -> tuple[dict[str, Any], Arrays]:
    """One pass over a split."""
    images = work.images(work.stage.params["split"])
    network = work.network("network")
    fast = probe.inference_copy(network, probe.floats(images.pixels[:8]))
    logits = probe.logits(fast, images.pixels)
    return {"n": len(logits)}, {"logits": {"logits": logits}}


def _measure(work: Work) -> tuple[dict[str, Any], Arrays]:
    """One metric of one network."""
    params = work.stage.params
    prefix = "ood_logits."
    providers: dict[str, Callable[[], Any]] = {
        "logits": lambda: work.predictions("logits", "test"),
        "val_logits": lambda: work.predictions("val_logits", "val"),
        "dense_logits": lambda: work.predictions("dense_logits", "test"),
        "ood_logits": lambda: {
            role.removeprefix(prefix): work.store.arrays(digest, "logits")["logits"]
            for role, digest in work.stage.inputs.items()
            if role.startswith(prefix)
        },
        "model": lambda: work.network("model"),
        "dense_model": lambda: work.network("dense_model"),
        **{split: partial(work.images, split) for split in ("test", "train", "val")},
    }
    spec = METRICS.get(params["kind"])
    reading = call(spec, providers, options(spec, "default", _tuples(params.get("options", {}))))
    examples = {"examples": reading.examples, "replicates": reading.replicates}
    kept = {name: array for name, array in examples.items() if array is not None}
    return reading_to_json(reading), {"paired": kept} if kept else {}


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where options have tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


def _trainee(spec: Mapping[str, Any], device: str) -> tuple[nn.Module, Trainee]:
    """A freshly initialised model on the device, and its optimiser."""
    kind, options = spec["model"]["kind"], _tuples(spec["model"].get("options", {}))
    model = models.build(kind, Task(**spec["task"]), options, spec["seed"])
    model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, Trainee(model, optimizer_of(model, Training(**spec["recipe"])))


def _restore(trainee: Trainee, store: Store, digest: str, *, weights_only: bool) -> int:
    """Put a stored network into ``trainee``; its step.

    A ticket takes the weights and buffers of the rewind step and its place in schedule and data
    order, and starts with empty momentum; the same trajectory takes everything.
    """
    arrays = {k: torch.from_numpy(v) for k, v in store.arrays(digest, "weights").items()}
    if weights_only:
        arrays = {k: v for k, v in arrays.items() if k.startswith("model.")}
    progress = store.result(digest)["progress"]
    trainee.restore(arrays, {"step": progress["step"]} if weights_only else progress)
    return int(progress["step"])


def _trajectory(stage: Stage) -> str:
    """The digest of a training stage without its step: checkpoints of one run share it."""
    params = {k: v for k, v in stage.params.items() if k != "step"}
    return Stage(stage.kind, stage.version, params, stage.inputs).digest


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


@torch.no_grad()
def _forward_flops(model: nn.Module, images: Images) -> int:
    """Multiplications and additions of one image's forward pass, of the dense arithmetic."""
    model.eval()
    with FlopCounterMode(display=False) as counter:
        model(images.take(torch.arange(1)).floats())
    return int(counter.get_total_flops())


@lru_cache(maxsize=8)
def _split(root: Path, digest: str, split: str, device: str) -> Images | None:
    """A split of a stored data set; long-lived workers keep the latest ones."""
    store = Store(root)
    if split not in store.result(digest)["sizes"]:
        return None
    arrays = store.arrays(digest, split)
    return Images(torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"])).to(device)


def _splits(root: Path, digest: str) -> Splits:
    """All splits of a stored data set, on the CPU."""
    train, test, val, held_out = (_split(root, digest, name, "cpu") for name in SPLITS)
    assert train is not None, f"{digest} has no training split"
    assert test is not None, f"{digest} has no test split"
    return Splits(train, test, val, held_out, tuple(Store(root).result(digest)["classes"]))
