"""The logits and readings of one network as stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scratchcard import registry
from scratchcard.graph import Network
from scratchcard.plan.builder import identity
from scratchcard.plan.place import Place


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
        others: Label of other methods to the digest of what holds their mask at this sparsity.
    """

    place: Place
    method: str
    target: float
    weights: str
    mask: str | None
    twin: str
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people."""
        return self.method if self.mask is None else f"{self.method} {self.target:.1%}"

    def plan(self) -> None:
        """Add every stage, and the network."""
        place, study = self.place, self.place.builder.study
        measures = {}
        for label, choice in study.metrics.items():
            spec = registry.METRICS.get(choice.kind)
            if spec.scope == "pair" and self.mask is None:
                continue
            inputs = {"data": place.images}
            for need in spec.needs:
                inputs |= self._need(need)
            params = identity(spec, choice.params)
            if "masks" in spec.needs:
                params["prunable"] = list(study.pruning.prunable)
            measures[label] = place.builder.add(
                "measure",
                spec,
                params,
                inputs,
                label=f"{self.name} · {place.where} · {label}",
                cost=3 if "model" in spec.needs else 0.2,
            )
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

    def _need(self, need: str) -> dict[str, str]:
        """Where a metric's need comes from: role to digest."""
        images = self.place.images
        match need:
            case "logits":
                return {need: self._logits(self.name, self.weights, images, "test")}
            case "val_logits":
                return {need: self._logits(self.name, self.weights, images, "val")}
            case "dense_logits":
                return {need: self._logits("dense", self.twin, images, "test")}
            case "ood_logits":
                return {
                    f"{need}.{label}": self._logits(self.name, self.weights, other, "test", label)
                    for label, other in self.place.ood.items()
                }
            case "model":
                return {need: self.weights}
            case "dense_model":
                return {need: self.twin}
            case "masks":
                return {need: self.mask or self.weights}
            case "other_masks":
                return {f"{need}.{label}": digest for label, digest in self.others.items()}
            case _:  # test, train, val: splits of the data, already an input
                return {}

    def _logits(self, name: str, weights: str, images: str, split: str, what: str = "") -> str:
        return self.place.builder.add(
            "logits",
            None,
            {"split": split},
            {"network": weights, "data": images},
            label=f"{name} · {self.place.where} · logits of {what or split}",
            cost=1,
        )
