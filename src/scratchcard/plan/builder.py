"""Collects the stages and networks of a plan; what a digest holds of each is decided here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchcard import registry
from scratchcard.contracts import Spec
from scratchcard.contracts.corruptions import COLOURED, EXTRA, SEVERITIES, STANDARD, unfit
from scratchcard.graph import Group, Network, Stage
from scratchcard.study import Choice, Study

VERSIONS = {
    "data": 1,
    "corrupt": 1,
    "concepts": 1,
    "train": 1,
    "mask": 1,
    "logits": 1,
    "occlude": 1,
    "baseline": 1,
    "measure": 1,
}
"""Bumped when what a kind of stage computes changes; old results are then left alone."""


def identity(spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a digest holds of a registered thing; paths are left out, their content counts."""
    changed = spec.changed({k: v for k, v in params.items() if not isinstance(v, Path)})
    return {"kind": spec.name, **({"options": changed} if changed else {})}


class Builder:
    """Collects stages and networks; equal stages fall together."""

    def __init__(self, study: Study, device: str) -> None:
        self.study = study
        self.stages: dict[str, Stage] = {}
        self.networks: list[Network] = []
        self.groups: list[Group] = []
        self._device = {} if device == "cpu" else {"device": device}
        self._local = {"plugins": list(study.plugins), "folder": str(study.folders[-1])}

    def add(
        self,
        kind: str,
        spec: Spec | None,
        params: Mapping[str, Any],
        inputs: Mapping[str, str],
        *,
        label: str,
        cost: float,
        after: tuple[str, ...] = (),
        local: Mapping[str, Any] | None = None,
    ) -> str:
        """The digest of a stage, added if it is new."""
        version = str(VERSIONS[kind]) if spec is None else f"{VERSIONS[kind]}.{spec.revision}"
        # Through JSON, so that a plan read back from its snapshot is the same plan.
        values = json.loads(json.dumps({**params, **(self._device if kind != "data" else {})}))
        stage = Stage(
            kind,
            version,
            values,
            dict(inputs),
            after,
            {**self._local, **(local or {})},
            label,
            cost,
        )
        self.stages.setdefault(stage.digest, stage)
        return stage.digest

    def data(
        self, table: str, choice: Choice, fingerprints: Mapping[str, str], inputs: dict[str, str]
    ) -> str:
        """A data set: splits as arrays."""
        spec = registry.DATASETS.get(choice.kind)
        return self.add(
            "data",
            spec,
            {
                **identity(spec, choice.params),
                "fingerprint": fingerprints[f"{table}.{choice.label}"],
            },
            inputs,
            label=f"{table} {choice.label}",
            cost=1,
            local={"table": table, **_options_and_paths(choice)},
        )

    def concepts(self, fingerprints: Mapping[str, str], images: str) -> dict[str, str]:
        """The concept sets for a data set's networks: label to digest; none if nobody asks."""
        if not self._needed("concepts"):
            return {}
        return {
            label: self.add(
                "concepts",
                (spec := registry.CONCEPTS.get(choice.kind)),
                {
                    **identity(spec, choice.params),
                    "fingerprint": fingerprints[f"concepts.{label}"],
                },
                {"source": images},
                label=f"concepts {label}",
                cost=1,
                local=_options_and_paths(choice),
            )
            for label, choice in self.study.concepts.items()
        }

    def corrupted(
        self, choice: Choice, fingerprints: Mapping[str, str], images: str
    ) -> dict[str, tuple[str, ...]]:
        """The corrupted test images of a data set: kind to digests, severity by severity.

        Nothing where no metric wants them, or such images cannot be corrupted.
        """
        task, wanted = self.study.tasks[choice.label], self.study.corruptions
        if unfit(task) or not self._needed("corrupted_logits"):
            return {}
        size = {"images": wanted.images, "stderr": wanted.stderr}
        params: dict[str, Any] = {key: value for key, value in size.items() if value}
        local: dict[str, Any] = {}
        if choice.label in wanted.official:
            params |= {"fingerprint": fingerprints[f"corruptions.{choice.label}"]}
            local |= {
                "official": str(wanted.official[choice.label]),
                "held_out": list(choice.params["held_out"]),
            }
        else:
            params |= {"seed": wanted.seed}
        return {
            kind: tuple(
                self.add(
                    "corrupt",
                    None,
                    {"corruption": kind, "severity": severity, **params},
                    {"data": images},
                    label=f"data {choice.label} · {kind} {severity}",
                    cost=1,
                    local=local,
                )
                for severity in SEVERITIES
            )
            for kind in (*STANDARD, *(EXTRA if wanted.extra else ()))
            if task.channels > 1 or kind not in COLOURED
        }

    def _needed(self, need: str) -> bool:
        metrics = (registry.METRICS.get(choice.kind) for choice in self.study.metrics.values())
        return any(need in spec.needs for spec in metrics)


def _options_and_paths(choice: Choice) -> dict[str, Any]:
    """What it takes to make a data set here: its options, and paths, which no digest holds."""
    paths = {k: str(v) for k, v in choice.params.items() if isinstance(v, Path)}
    options = {k: v for k, v in choice.params.items() if k not in paths}
    return {"options": json.loads(json.dumps(options)), "paths": paths}
