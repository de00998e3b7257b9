"""The stages ``logits`` and ``baseline``: one pass over images, and mean errors of dense ones."""

from __future__ import annotations

from statistics import fmean

import torch

from scratchcard import probe
from scratchcard.contracts import UserError
from scratchcard.stages.work import Outcome, Work


def predict(work: Work) -> Outcome:
    """Logits of a split; or of corrupted test images at every severity, with their labels.

    Raises:
        UserError: Severities have other labels: files of an official set are missing.
    """
    split = work.stage.params["split"]
    network = work.network("network")
    roles = sorted(role for role in work.stage.inputs if role != "network")
    first = work.images(split, roles[0])
    fast = probe.inference_copy(network, probe.floats(first.pixels[:8]))
    if roles == ["data"]:
        return {"n": len(first)}, {"logits": {"logits": probe.logits(fast, first.pixels)}}
    found = {}
    for done, role in enumerate(roles, 1):
        images, severity = work.images(split, role), role.removeprefix("severity.")
        if not torch.equal(images.labels, first.labels):
            raise UserError(
                f"the images at severity {severity} have other labels than those at severity 1; "
                "files of the official set are missing: unpack it again"
            )
        found[severity] = probe.logits(fast, images.pixels)
        work.tick(done / len(roles))
    return {"n": len(first)}, {"logits": {**found, "labels": first.labels.cpu().numpy()}}


def average_errors(work: Work) -> Outcome:
    """Error rates of the dense networks, averaged over the seeds, clean and by corruption."""
    clean, corrupted = [], dict[str, list[tuple[float, ...]]]()
    for role in work.stage.inputs:
        kind = role.rpartition(".")[0]
        if kind == "clean":
            clean.append(_error(work.predictions(role, "test")))
        elif kind:
            ladder = tuple(_error(one) for one in work.corrupted(role))
            corrupted.setdefault(kind, []).append(ladder)
    return {
        "clean": fmean(clean),
        "corrupted": {
            kind: [fmean(column) for column in zip(*ladders, strict=True)]
            for kind, ladders in corrupted.items()
        },
    }, {}


def _error(predictions: probe.Predictions) -> float:
    return 1 - float(predictions.correct.mean())
