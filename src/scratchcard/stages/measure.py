"""The stage ``measure``: one metric of one network, of a pair, or of the networks of all seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from scratchcard.collect import reading_to_json
from scratchcard.contracts import NEED_OPTIONS, ErrorRates, NotApplicable, Task
from scratchcard.contracts.corruptions import unfit
from scratchcard.masks import Masks
from scratchcard.metrics.interpretability.occlusion import Occluded
from scratchcard.metrics.measure import call, options
from scratchcard.probe import Predictions
from scratchcard.registry import METRICS
from scratchcard.stages.concepts import concepts_of
from scratchcard.stages.work import Outcome, Work, tuples


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
    groups = {"paired": kept, "pictures": reading.pictures}
    return reading_to_json(reading), {name: group for name, group in groups.items() if group}


def _providers(work: Work) -> dict[str, Callable[..., Any]]:
    """By the name of a need, how it is fetched."""
    return {
        "logits": lambda: work.predictions("logits", "test"),
        "val_logits": lambda: work.predictions("val_logits", "val"),
        "dense_logits": lambda: work.predictions("dense_logits", "test"),
        "ood_logits": lambda: {
            label: work.store.arrays(digest, "logits")["logits"]
            for label, digest in _labelled(work, "ood_logits").items()
        },
        "ood_classes": lambda: _ood_classes(work),
        "corrupted_logits": lambda: _corrupted(work),
        "corruption_baseline": lambda: _baseline(work),
        **{need: partial(_occluded, work, need) for need in NEED_OPTIONS},
        "transfer": lambda: {
            label: tuple(work.images(split, f"transfer.{label}") for split in ("train", "test"))
            for label in _labelled(work, "transfer")
        },
        "concepts": lambda: {
            label: concepts_of(work.store.root, digest, work.device)
            for label, digest in _labelled(work, "concepts").items()
        },
        "all_logits": lambda: _by_seed(work, "all_logits"),
        "all_dense_logits": lambda: _by_seed(work, "all_dense_logits"),
        "model": lambda: work.network("model"),
        "dense_model": lambda: work.network("dense_model"),
        "previous_model": lambda: work.network("previous_model"),
        "other_models": lambda: _networks(work, "other_models"),
        "all_models": lambda: {int(s): net for s, net in _networks(work, "all_models").items()},
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


def _ood_classes(work: Work) -> dict[str, tuple[int, ...]]:
    """Of the sets that are told from some classes only."""
    found = {
        label: work.store.result(digest).get("told_from")  # not in stores of old
        for label, digest in _labelled(work, "ood_classes").items()
    }
    return {label: tuple(classes) for label, classes in found.items() if classes is not None}


def _corrupted(work: Work) -> Mapping[str, tuple[Predictions, ...]]:
    """Predictions by kind and severity.

    Raises:
        NotApplicable: Such images cannot be corrupted.
    """
    roles = {kind: f"corrupted_logits.{kind}" for kind in _labelled(work, "corrupted_logits")}
    if not roles:
        raise NotApplicable(unfit(Task(**work.store.result(work.input("data"))["task"])))
    return {kind: work.corrupted(role) for kind, role in roles.items()}


def _baseline(work: Work) -> ErrorRates:
    found = work.store.result(work.input("corruption_baseline"))
    ladders = {kind: tuple(errors) for kind, errors in found["corrupted"].items()}
    return ErrorRates(found["clean"], ladders)


def _occluded(work: Work, need: str, **_: Any) -> Occluded:
    """What a stage of its own answered, which had the options."""
    return work.occluded(need)


def _by_seed(work: Work, need: str) -> dict[int, Predictions]:
    return {int(s): work.predictions(f"{need}.{s}", "test") for s in _labelled(work, need)}


def _networks(work: Work, need: str) -> dict[str, nn.Module]:
    return {label: work.network(f"{need}.{label}") for label in _labelled(work, need)}


def _masks(work: Work) -> Masks:
    """Of a ticket; a dense network keeps everything."""
    result = work.store.result(work.input("masks"))
    if "shapes" not in result and "spec" in result:
        return Masks.ones(work.network("masks"), work.stage.params["prunable"])
    return work.masks("masks")
