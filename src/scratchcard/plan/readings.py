"""What is measured of one network, and of the networks of all seeds together, as stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scratchcard import registry
from scratchcard.contracts import MetricSpec
from scratchcard.graph import Group, Network
from scratchcard.plan.builder import identity
from scratchcard.plan.place import Place
from scratchcard.study import Choice

OF_ALL_SEEDS = {"all_logits": "logits", "all_dense_logits": "dense_logits", "all_models": "model"}
"""Needs of a group to what is needed of each of its networks."""


@dataclass(frozen=True)
class Readings:
    """What is measured of a network.

    Attributes:
        place: Data set, model and seed.
        method: Label of the method, or ``"dense"``.
        target: The ladder's sparsity; 0 of the twin.
        weights: Digest of its training.
        mask: Digest of what holds its mask; None of the twin.
        twin: Digest of the dense twin's training.
        baseline: Digest of the dense networks' error rates; empty where nothing is corrupted.
        previous: Digest of the training of the method's ticket at the sparsity before, or of the
            twin's.
        other_masks: Label of other methods to the digest of what holds their mask at this
            sparsity.
        other_models: Label of other methods to the digest of their training at this sparsity.
    """

    place: Place
    method: str
    target: float
    weights: str
    mask: str | None
    twin: str
    baseline: str
    previous: str = ""
    other_masks: Mapping[str, str] = field(default_factory=dict)
    other_models: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people."""
        return self.method if self.mask is None else f"{self.method} {self.target:.1%}"

    def plan(self) -> None:
        """Add every stage, and the network."""
        place = self.place
        measures = {}
        for label, choice in place.builder.study.metrics.items():
            spec = registry.METRICS.get(choice.kind)
            if spec.scope == "group" or (spec.scope == "pair" and self.mask is None):
                continue
            inputs: dict[str, str] = {}
            for need in spec.needs:
                inputs |= self.need(need, choice.params)
            measures[label] = _measure(place, f"{self.name} · {place.where}", choice, spec, inputs)
        network = Network(
            place.data,
            place.model.label,
            self.method,
            self.target,
            place.seed,
            self.weights,
            self.mask,
            measures,
        )
        place.builder.networks.append(network)

    def need(self, need: str, options: Mapping[str, Any]) -> dict[str, str]:
        """Where a metric's need comes from, given the metric's options: role to digest."""
        place, images = self.place, self.place.images
        match need:
            case "logits":
                return {need: place.logits(self.name, self.weights, images, "test")}
            case "val_logits":
                return {need: place.logits(self.name, self.weights, images, "val")}
            case "dense_logits":
                return {need: place.logits("dense", self.twin, images, "test")}
            case "ood_logits":
                return {
                    f"{need}.{label}": place.logits(self.name, self.weights, other, "test", label)
                    for label, other in place.ood.items()
                }
            case "corrupted_logits":
                found = place.corrupted_logits(self.name, self.weights)
                return {f"{need}.{kind}": digest for kind, digest in found.items()}
            case "occluded_logits":
                return {need: place.occluded_logits(self.name, self.weights, options)}
            case "dense_occluded_logits":
                return {need: place.occluded_logits("dense", self.twin, options)}
            case "corruption_baseline":
                return {need: self.baseline} if self.baseline else {}
            case "ood_classes":
                return {f"{need}.{label}": other for label, other in place.ood.items()}
            case "transfer":
                return {f"{need}.{label}": other for label, other in place.transfer.items()}
            case "concepts":
                return {f"{need}.{label}": other for label, other in place.concepts.items()}
            case "model":
                return {need: self.weights}
            case "dense_model":
                return {need: self.twin}
            case "previous_model":
                return {need: self.previous}
            case "masks":
                return {need: self.mask or self.weights}
            case "other_masks":
                return {f"{need}.{label}": digest for label, digest in self.other_masks.items()}
            case "other_models":
                return {f"{need}.{label}": digest for label, digest in self.other_models.items()}
            case _:  # test, train, val: splits of the data, already an input
                return {}


def baseline(twins: Mapping[Place, str]) -> str:
    """The stage with the mean error rates of dense networks; empty where nothing is corrupted.

    Args:
        twins: Place to the digest of the dense training there, one for each seed.
    """
    inputs: dict[str, str] = {}
    for place, weights in twins.items():
        if not place.corrupted:
            return ""
        clean = place.logits("dense", weights, place.images, "test")
        corrupted = place.corrupted_logits("dense", weights)
        inputs[f"clean.{place.seed}"] = clean
        inputs |= {f"{kind}.{place.seed}": digest for kind, digest in corrupted.items()}
    label = f"dense · {place.data} · {place.model.label} · mean errors"
    inputs["data"] = place.images
    return place.builder.add("baseline", None, {}, inputs, label=label, cost=0.2)


def group(networks: Sequence[Readings]) -> None:
    """Add the stages of what the networks of one method and sparsity say together, seed by seed."""
    first = networks[0]
    place = first.place
    measures = {}
    for label, choice in place.builder.study.metrics.items():
        spec = registry.METRICS.get(choice.kind)
        if spec.scope != "group" or first.mask is None:
            continue
        inputs: dict[str, str] = {}
        for need in OF_ALL_SEEDS.keys() & set(spec.needs):
            for one in networks:
                (digest,) = one.need(OF_ALL_SEEDS[need], choice.params).values()
                inputs[f"{need}.{one.place.seed}"] = digest
        where = f"{first.name} · {place.data} · {place.model.label} · all seeds"
        measures[label] = _measure(place, where, choice, spec, inputs)
    if measures:
        found = Group(place.data, place.model.label, first.method, first.target, measures)
        place.builder.groups.append(found)


def _measure(
    place: Place, who: str, choice: Choice, spec: MetricSpec, inputs: Mapping[str, str]
) -> str:
    params = identity(spec, choice.params)
    if "masks" in spec.needs:
        params["prunable"] = list(place.builder.study.pruning.prunable)
    return place.builder.add(
        "measure",
        spec,
        params,
        {"data": place.images, **inputs},
        label=f"{who} · {choice.label}",
        cost=3 if "model" in spec.needs else 0.2,
    )
