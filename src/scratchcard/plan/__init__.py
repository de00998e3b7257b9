"""From a study to a graph of stages, each named by the hash of everything that changes its numbers.

Planning is pure: the same study, data and versions give the same graph, and nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scratchcard import registry
from scratchcard.graph import Plan
from scratchcard.plan import readings
from scratchcard.plan.builder import Builder
from scratchcard.plan.place import Place
from scratchcard.plan.twins import Twins
from scratchcard.study import Study

__all__ = ["build", "plugin_files"]


def build(study: Study, fingerprints: Mapping[str, str], device: str = "cpu") -> Plan:
    """Plan ``study``.

    Args:
        study: What to do.
        fingerprints: ``"data.LABEL"``, ``"ood.LABEL"``, ``"transfer.LABEL"``,
            ``"concepts.LABEL"`` and, of official corrupted sets, ``"corruptions.LABEL"`` to the
            fingerprint of their files.
        device: Kind of device, ``"cpu"`` or ``"cuda"``. It is part of a network's identity, so a
            twin and its tickets never mix kinds of device.
    """
    builder = Builder(study, device)
    for data in study.data.values():
        images = builder.data("data", data, fingerprints, {})
        ood = {
            label: builder.data("ood", choice, fingerprints, {"source": images})
            for label, choice in study.ood.items()
        }
        transfer = {
            label: builder.data("transfer", choice, fingerprints, {"source": images})
            for label, choice in study.transfer.items()
        }
        concepts = builder.concepts(fingerprints, images)
        corrupted = builder.corrupted(data, fingerprints, images)
        for model in study.models.values():
            trained = [
                Twins(
                    Place(
                        builder,
                        data.label,
                        model,
                        seed,
                        images,
                        ood,
                        transfer,
                        concepts,
                        corrupted,
                    )
                ).train()
                for seed in study.seeds
            ]
            errors = readings.baseline({one.place: one.twin for one in trained})
            for alike in zip(*(one.readings(errors) for one in trained), strict=True):
                for network in alike:
                    network.plan()
                readings.group(alike)
    order = {"dense": -1} | {label: i for i, label in enumerate(study.methods)}
    networks = sorted(
        builder.networks, key=lambda n: (n.data, n.model, order[n.method], n.target, n.seed)
    )
    return Plan(builder.stages, tuple(networks), tuple(builder.groups))


def plugin_files(study: Study) -> list[Path]:
    """The files of everything in ``study`` that is not built in."""
    chosen = (
        (registry.DATASETS, study.data),
        (registry.DATASETS, study.ood),
        (registry.DATASETS, study.transfer),
        (registry.CONCEPTS, study.concepts),
        (registry.MODELS, study.models),
        (registry.METHODS, study.methods),
        (registry.METRICS, study.metrics),
    )
    files = [found.get(c.kind).file for found, choices in chosen for c in choices.values()]
    return list(dict.fromkeys(file for file in files if file is not None))
