"""From a study to a graph of stages, each named by the hash of everything that changes its numbers.

Planning is pure: the same study, data and versions give the same graph, and nothing is run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchcard import registry
from scratchcard.contracts import Method, Spec, Step
from scratchcard.graph import Network, Plan, Stage
from scratchcard.study import Choice, Study

VERSIONS = {"data": 1, "train": 1, "mask": 1, "logits": 1, "measure": 1}
"""Bumped when what a kind of stage computes changes; old results are then left alone."""


def build(study: Study, fingerprints: Mapping[str, str], device: str = "cpu") -> Plan:
    """Plan ``study``.

    Args:
        study: What to do.
        fingerprints: ``"data.LABEL"`` and ``"ood.LABEL"`` to the fingerprint of their files.
        device: Kind of device, ``"cpu"`` or ``"cuda"``. It is part of a network's identity, so a
            twin and its tickets never mix kinds of device.
    """
    builder = _Builder(study, device)
    for data in study.data.values():
        images = builder.data("data", data, fingerprints, {})
        ood = {
            label: builder.data("ood", choice, fingerprints, {"source": images})
            for label, choice in study.ood.items()
        }
        for model in study.models.values():
            for seed in study.seeds:
                _Twins(builder, data.label, model, seed, images, ood).plan()
    order = {"dense": -1} | {label: i for i, label in enumerate(study.methods)}
    networks = sorted(
        builder.networks, key=lambda n: (n.data, n.model, order[n.method], n.target, n.seed)
    )
    return Plan(builder.stages, tuple(networks))


def plugin_files(study: Study) -> list[Path]:
    """The files of everything in ``study`` that is not built in."""
    chosen = (
        (registry.DATASETS, study.data),
        (registry.DATASETS, study.ood),
        (registry.MODELS, study.models),
        (registry.METHODS, study.methods),
        (registry.METRICS, study.metrics),
    )
    files = [found.get(c.kind).file for found, choices in chosen for c in choices.values()]
    return list(dict.fromkeys(file for file in files if file is not None))


def identity(spec: Spec, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a digest holds of a registered thing; paths are left out, their content counts."""
    changed = spec.changed({k: v for k, v in params.items() if not isinstance(v, Path)})
    return {"kind": spec.name, **({"options": changed} if changed else {})}


class _Builder:
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


class _Twins:
    """One data set, model and seed: the dense twin, its tickets and their readings."""

    def __init__(
        self,
        builder: _Builder,
        data: str,
        model: Choice,
        seed: int,
        images: str,
        ood: Mapping[str, str],
    ) -> None:
        self.builder, self.study = builder, builder.study
        self.data, self.model, self.seed, self.images, self.ood = data, model, seed, images, ood
        self.where = f"{data} · {model.label} · seed {seed}"

    def plan(self) -> None:
        """Add every stage."""
        methods = {label: self._method(c) for label, c in self.study.methods.items()}
        steps = {s for m in methods.values() for s in (m.scored_at, m.starts_from)}
        dense = self._train("dense", {}, steps | {"end"})
        self._network("dense", 0.0, dense["end"], None, dense["end"])
        for label, method in methods.items():
            for target in self.study.ladder.sparsities:
                weights, mask = self._ticket(label, method, target, dense)
                self._network(label, target, weights, mask, dense["end"])

    def _method(self, choice: Choice) -> Method:
        method = registry.METHODS.get(choice.kind).target(**choice.params)
        assert isinstance(method, Method)
        return method

    def _step(self, text: str) -> str:
        """One spelling per moment."""
        step = Step.parse(text)
        if step.value == 0:
            return "0ep"
        return (
            "end" if step.unit == "ep" and step.value == self.study.training.epochs else str(step)
        )

    def _train(self, name: str, inputs: Mapping[str, str], steps: set[str]) -> dict[str, str]:
        """Stages of one trajectory, each going on from the one before; spelling to digest."""
        spec = registry.MODELS.get(self.model.kind)
        epochs = self.study.training.epochs
        recipe = self.study.training.model_dump(mode="json", exclude_defaults=True)
        digests: dict[str, str] = {}
        for text in sorted({self._step(s) for s in steps}, key=lambda s: _position(s, epochs)):
            digests[text] = self.builder.add(
                "train",
                spec,
                {
                    "model": identity(spec, self.model.params),
                    "recipe": recipe,
                    "seed": self.seed,
                    "step": text,
                },
                {"data": self.images, **inputs},
                after=tuple(digests.values()),
                label=f"{name} · {self.where} · train to {text}",
                cost=3 * _position(text, epochs),
            )
        return digests | {s: digests[self._step(s)] for s in steps}

    def _ticket(
        self, label: str, method: Method, target: float, dense: Mapping[str, str]
    ) -> tuple[str, str]:
        """Rounds of mask and training; the last round's weights and mask."""
        choice = self.study.methods[label]
        spec = registry.METHODS.get(choice.kind)
        network, masks = dense[method.scored_at], dict[str, str]()
        *earlier, last = method.rounds(target)
        for sparsity in (*earlier, last):
            name = f"{label} {sparsity:.1%}"
            mask = self.builder.add(
                "mask",
                spec,
                {
                    **identity(spec, choice.params),
                    "sparsity": sparsity,
                    "seed": self.seed,
                    "prunable": list(self.study.pruning.prunable),
                },
                {"network": network, **masks, **({"data": self.images} if spec.needs_data else {})},
                label=f"{name} · {self.where} · mask",
                cost=0.2,
            )
            step = "end" if sparsity == last else method.scored_at
            start = {"start": dense[method.starts_from], "mask": mask}
            network, masks = self._train(name, start, {step})[step], {"masks": mask}
        return network, mask

    def _network(
        self, method: str, target: float, weights: str, mask: str | None, twin: str
    ) -> None:
        """Logits and readings of one network."""
        name = "dense" if mask is None else f"{method} {target:.1%}"
        measures = {}
        for label, choice in self.study.metrics.items():
            spec = registry.METRICS.get(choice.kind)
            if spec.scope == "pair" and mask is None:
                continue
            inputs = {"data": self.images}
            for need in spec.needs:
                inputs |= self._need(need, name, weights, twin)
            measures[label] = self.builder.add(
                "measure",
                spec,
                identity(spec, choice.params),
                inputs,
                label=f"{name} · {self.where} · {label}",
                cost=3 if "model" in spec.needs else 0.2,
            )
        self.builder.networks.append(
            Network(self.data, self.model.label, method, target, self.seed, weights, mask, measures)
        )

    def _need(self, need: str, name: str, weights: str, twin: str) -> dict[str, str]:
        """Where a metric's need comes from: role to digest."""
        match need:
            case "logits":
                return {need: self._logits(name, weights, self.images, "test")}
            case "val_logits":
                return {need: self._logits(name, weights, self.images, "val")}
            case "dense_logits":
                return {need: self._logits("dense", twin, self.images, "test")}
            case "ood_logits":
                return {
                    f"{need}.{label}": self._logits(name, weights, images, "test", label)
                    for label, images in self.ood.items()
                }
            case "model":
                return {need: weights}
            case "dense_model":
                return {need: twin}
            case _:  # test, train, val: splits of the data, already an input
                return {}

    def _logits(self, name: str, weights: str, images: str, split: str, what: str = "") -> str:
        return self.builder.add(
            "logits",
            None,
            {"split": split},
            {"network": weights, "data": images},
            label=f"{name} · {self.where} · logits of {what or split}",
            cost=1,
        )


def _position(text: str, epochs: int) -> float:
    """Roughly how many epochs into training a step is; iterations come first (no set size yet)."""
    step = Step.parse(text)
    return {"ep": step.value, "it": step.value / 1e6, "fraction": step.value * epochs}[step.unit]
