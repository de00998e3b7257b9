"""Collects the stages and networks of a plan; what a digest holds of each is decided here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchcard import registry
from scratchcard.contracts import Spec
from scratchcard.graph import Network, Stage
from scratchcard.study import Choice, Study

VERSIONS = {"data": 1, "train": 1, "mask": 1, "logits": 1, "measure": 1}
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
        paths = {k: str(v) for k, v in choice.params.items() if isinstance(v, Path)}
        options = {k: v for k, v in choice.params.items() if k not in paths}
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
            local={"options": json.loads(json.dumps(options)), "paths": paths},
        )
