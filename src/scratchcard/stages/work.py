"""A stage with its surroundings: the inputs it reads from the store, as objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from scratchcard import models, probe
from scratchcard.contracts import Architecture, Method, Narrower, NotApplicable, Task
from scratchcard.contracts.corruptions import SEVERITIES
from scratchcard.data.base import Images, Splits
from scratchcard.graph import Stage
from scratchcard.masks import Masks
from scratchcard.metrics.interpretability.occlusion import Occluded
from scratchcard.registry import METHODS, MODELS
from scratchcard.store import Store
from scratchcard.structure import Channels

Tick = Callable[[float], None]
Outcome = tuple[dict[str, Any], Mapping[str, Mapping[str, np.ndarray]]]
"""What a stage commits: JSON values, and arrays by group and name."""

SPLITS = ("train", "test", "val", "held_out")


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
        model = stock(self.store.result(digest)["spec"], self.device)
        weights = {
            name.removeprefix("model."): torch.from_numpy(value)
            for name, value in self.store.arrays(digest, "weights").items()
            if name.startswith("model.")
        }
        model.load_state_dict(weights)
        return model.eval()

    def masks(self, role: str) -> Masks:
        """Masks of an input."""
        return self.masks_of(self.input(role))

    def masks_of(self, digest: str) -> Masks:
        """Masks that a stage left.

        Raises:
            NotApplicable: It left a smaller network.
        """
        result = self.store.result(digest)
        if "shapes" not in result:
            raise NotApplicable("it has no mask: the network itself was made smaller")
        return Masks.unpack(self.store.arrays(digest, "masks"), result["shapes"])

    def architecture(self, role: str) -> Architecture:
        """Where a network of the inputs comes from, with every option."""
        spec = self.store.result(self.input(role))["spec"]
        model = MODELS.get(spec["model"]["kind"])
        defaults = {name: default for name, (_, default) in model.parameters.items()}
        options = defaults | tuples(spec["model"].get("options", {}))
        return Architecture(model.name, Task(**spec["task"]), options)

    def method(self, params: Mapping[str, Any]) -> Method:
        """The method that ``params`` name; a control's ``of`` is a label, so no part of them."""
        of = {"of": self.stage.local["of"]} if "of" in self.stage.local else {}
        method = METHODS.get(params["kind"]).target(**tuples(params.get("options", {})), **of)
        assert isinstance(method, Method)
        return method

    def predictions(self, role: str, split: str) -> probe.Predictions:
        """Logits of an input with the labels of the split."""
        logits = self.store.arrays(self.input(role), "logits")["logits"]
        return probe.Predictions(logits, self.images(split).labels.cpu().numpy())

    def corrupted(self, role: str) -> tuple[probe.Predictions, ...]:
        """Predictions on the test images under one kind of corruption, at severities 1 to 5."""
        arrays = self.store.arrays(self.input(role), "logits")
        return tuple(probe.Predictions(arrays[str(s)], arrays["labels"]) for s in SEVERITIES)

    def occluded(self, role: str) -> Occluded:
        """A network's answers to images of which segments are black."""
        return Occluded.unpack(self.store.arrays(self.input(role), "occluded"))


def stock(spec: Mapping[str, Any], device: str) -> nn.Module:
    """A freshly initialised network on the device, as large as the one that ``spec`` describes."""
    options = tuples(spec["model"].get("options", {}))
    model = models.build(spec["model"]["kind"], Task(**spec["task"]), options, spec["seed"])
    if "kept_channels" in spec:
        Channels.from_json(spec["kept_channels"]).apply_(model)
    return model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def described(
    chosen: Masks | Channels | Narrower,
) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """What a result says of what a network keeps, and the packed masks."""
    if isinstance(chosen, Masks):
        return {
            "shapes": chosen.shapes(),
            "layers": chosen.layers(),
            "kept": chosen.kept,
            "total": chosen.total,
            "sparsity": chosen.sparsity,
            "collapsed": list(chosen.collapsed),
        }, chosen.pack()
    made = (
        {"kept_channels": chosen.to_json()}
        if isinstance(chosen, Channels)
        else {"options": dict(chosen.options)}
    )
    return {
        **made,
        "kept": chosen.left,
        "total": chosen.total,
        "sparsity": 1 - chosen.left / chosen.total,
        "collapsed": [],
    }, {}


def tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has lists where options have tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}


@lru_cache(maxsize=8)
def _split(root: Path, digest: str, split: str, device: str) -> Images | None:
    """A split of a stored data set; long-lived workers keep the latest ones."""
    store = Store(root)
    if split not in store.result(digest)["sizes"]:
        return None
    arrays = store.arrays(digest, split)
    return Images(torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"])).to(device)


def splits_of(root: Path, digest: str) -> Splits:
    """All splits of a stored data set, on the CPU."""
    train, test, val, held_out = (_split(root, digest, name, "cpu") for name in SPLITS)
    assert train is not None, f"{digest} has no training split"
    assert test is not None, f"{digest} has no test split"
    return Splits(train, test, val, held_out, tuple(Store(root).result(digest)["classes"]))
