"""From a study to a graph of stages, each named by the hash of everything that changes its numbers.

Planning is pure: the same study, data and versions give the same graph, and nothing is run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One piece of work whose result is stored under its digest.

    Attributes:
        kind: ``data``, ``train``, ``mask``, ``logits`` or ``measure``.
        version: The version of the kind and of the method or metric inside it.
        params: What differs from the defaults; JSON values only.
        inputs: Role to digest of the stages whose results are read.
        after: Digests to wait for although their numbers do not enter (an earlier checkpoint of
            the same trajectory).
        local: What running it here needs and a digest must not hold: paths, the device.
        label: For people: ``lth 73.8 % · digits · lenet · seed 0 · train``.
        cost: Expected work, in forward passes of one image through the model's largest relative
            unit; only ratios between stages of one study matter.
    """

    kind: str
    version: str
    params: Mapping[str, Any]
    inputs: Mapping[str, str]
    after: tuple[str, ...] = ()
    local: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    cost: float = 0.0

    @cached_property
    def digest(self) -> str:
        """Hash of kind, version, params and inputs: 32 hexadecimal digits."""
        identity = {
            "kind": self.kind,
            "version": self.version,
            "params": self.params,
            "inputs": self.inputs,
        }
        text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Every stage that must be finished first."""
        return (*self.inputs.values(), *self.after)


@dataclass(frozen=True)
class Network:
    """One network of the study and where its numbers are.

    Attributes:
        data: Label of the data set in the study.
        model: Label of the model.
        method: Label of the method, or ``"dense"`` for the twin.
        target: The ladder's sparsity (0 for the twin).
        seed: Of initialisation, data order, augmentation and the method's draws.
        weights: Digest of the last training stage.
        mask: Digest of the mask stage; None for the twin.
        measures: Label of each metric to the digest of its measure stage.
    """

    data: str
    model: str
    method: str
    target: float
    seed: int
    weights: str
    mask: str | None
    measures: Mapping[str, str]
