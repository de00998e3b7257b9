"""The graph of a study: stages named by the hash of what changes their numbers, and networks.

A digest holds kind, version, what differs from the defaults, and the digests of the inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One piece of work whose result is stored under its digest.

    Attributes:
        kind: ``data``, ``corrupt``, ``concepts``, ``train``, ``mask``, ``logits``, ``occlude``,
            ``baseline`` or ``measure``.
        version: The version of the kind and of the method or metric inside it.
        params: What differs from the defaults; JSON values only.
        inputs: Role to digest of the stages whose results are read.
        after: Digests to wait for although their numbers do not enter (an earlier checkpoint of
            the same trajectory).
        local: What running it here needs and a digest must not hold: paths, the device.
        label: For people: ``lth 73.8 % · digits · lenet · seed 0 · train``.
        cost: Expected work, roughly in passes over the data; only its ratios matter.
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


@dataclass(frozen=True)
class Group:
    """The networks that differ only in their seed, and where their common numbers are.

    Attributes:
        data: Label of the data set in the study.
        model: Label of the model.
        method: Label of the method.
        target: The ladder's sparsity.
        measures: Label of each metric of all seeds together to the digest of its measure stage.
    """

    data: str
    model: str
    method: str
    target: float
    measures: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """A study as a graph: every stage by digest, in an order in which they can be run."""

    stages: Mapping[str, Stage]
    networks: tuple[Network, ...]
    groups: tuple[Group, ...] = ()

    def ancestors(
        self,
        digest: str,
        below: Callable[[Stage], Iterable[str]] = lambda stage: stage.waits_for,
    ) -> set[str]:
        """Everything that ``digest`` rests on, itself included.

        Args:
            digest: Where to start.
            below: What a stage rests on itself.
        """
        found: set[str] = set()
        ahead = [digest]
        while ahead:
            current = ahead.pop()
            if current not in found:
                found.add(current)
                ahead.extend(below(self.stages[current]))
        return found

    def to_json(self) -> dict[str, Any]:
        """JSON values, for the snapshot of a study."""
        return {
            "stages": [vars(stage) | {"digest": stage.digest} for stage in self.stages.values()],
            "networks": [vars(network) for network in self.networks],
            "groups": [vars(group) for group in self.groups],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Plan:
        """The inverse of ``to_json``; digests are taken from the content."""
        stages = [
            Stage(**{k: v for k, v in s.items() if k != "digest"} | {"after": tuple(s["after"])})
            for s in values["stages"]
        ]
        return cls(
            {stage.digest: stage for stage in stages},
            tuple(Network(**network) for network in values["networks"]),
            tuple(Group(**group) for group in values["groups"]),
        )
