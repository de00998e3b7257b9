"""From the tables of a study file to the parts of a study, checked against each other."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, get_args

from scratchcard import registry
from scratchcard.contracts import Dimension, MetricSpec, UserError
from scratchcard.plugins import load_plugins
from scratchcard.study.checks import (
    check_controls,
    check_models,
    check_times,
    check_widths,
    fits,
    lacks,
    tried,
)
from scratchcard.study.choices import Choice, Chooser, Profile, existing_path
from scratchcard.study.problems import Problems, unknown
from scratchcard.study.sections import (
    Corruptions,
    Head,
    Ladder,
    Pruning,
    Training,
    VerdictRules,
)


@dataclass(frozen=True)
class Reader:
    """Turns the tables of a study into its parts.

    Attributes:
        raw: The tables.
        problems: Where mistakes go.
        folders: Where relative paths are looked for, in this order; plug-ins only in the last.
    """

    raw: Mapping[str, Any]
    problems: Problems
    folders: tuple[Path, ...]

    def parts(self) -> dict[str, Any]:
        """Everything a ``Study`` holds but its text; meaningless if there are problems."""
        for key in self.raw:
            if key not in _KEYS:
                self.problems.add((key,), unknown("key or table", key, _KEYS))
        head = self.problems.section((), Head, self._head())
        self._import_plugins()
        training = self.problems.section(("training",), Training, self.raw.get("training", {}))
        ladder = self.problems.section(("ladder",), Ladder, self.raw.get("ladder", {}))
        pruning = self.problems.section(("pruning",), Pruning, self._pruning())
        verdict = self.problems.section(("verdict",), VerdictRules, self.raw.get("verdict", {}))
        chosen = self._choices(training, ladder, pruning)
        corruptions = self._corruptions(chosen["data"])
        if verdict:
            self._check_margins(verdict, chosen["metrics"])
        return {
            **(dict(head) if head else {}),
            **chosen,
            "training": training,
            "ladder": ladder,
            "pruning": pruning,
            "corruptions": corruptions,
            "verdict": verdict,
        }

    def _head(self) -> dict[str, Any]:
        stem = re.sub(r"[^a-z0-9_-]+", "-", Path(self.problems.file).stem.lower())
        given = {key: self.raw[key] for key in Head.model_fields if key in self.raw}
        return {"name": stem.strip("-") or "study", **given}

    def _pruning(self) -> object:
        given = self.raw.get("pruning", {})
        if self.raw.get("profile") == "paper" and isinstance(given, dict):
            return {"prunable": ["conv"], **given}
        return given

    def _corruptions(self, data: Mapping[str, Choice]) -> Corruptions | None:
        found = self.problems.section(
            ("corruptions",), Corruptions, self.raw.get("corruptions", {})
        )
        if found is None:
            return None
        place = ("corruptions", "official")
        for label in found.official:
            if label not in data:
                self.problems.add((*place, label), unknown("data set", label, data))
        existing = {
            label: existing_path(path, self.folders, (*place, label), self.problems)
            for label, path in found.official.items()
        }
        return found.model_copy(update={"official": existing})

    def _import_plugins(self) -> None:
        named = self.raw.get("plugins")
        for index, module in enumerate(named if isinstance(named, list) else ()):
            if isinstance(module, str):
                try:
                    load_plugins([module], self.folders[-1])
                except UserError as error:
                    self.problems.add(("plugins", index), str(error))

    def _choices(
        self, training: Training | None, ladder: Ladder | None, pruning: Pruning | None
    ) -> dict[str, Any]:
        """The sections of choices, checked against each other."""
        profile: Profile = "paper" if self.raw.get("profile") == "paper" else "default"
        chooser = Chooser(self.problems, profile, self.folders)
        for name, example in _REQUIRED.items():
            if not self.raw.get(name):
                self.problems.add((name,), f"is required; {example}")
        raw = self.raw
        data = chooser.section("data", raw.get("data", {}), registry.DATASETS)
        ood = chooser.section("ood", raw.get("ood", {}), registry.DATASETS)
        transfer = chooser.section("transfer", raw.get("transfer", {}), registry.DATASETS)
        concepts = chooser.section("concepts", raw.get("concepts", ["own"]), registry.CONCEPTS)
        models = chooser.section("models", raw.get("models", {}), registry.MODELS)
        methods = chooser.section("methods", raw.get("methods", {}), registry.METHODS)
        sets = tried("data", data, registry.DATASETS, _ask_files_and_task, self.problems)
        tried("ood", ood, registry.DATASETS, lambda dataset: dataset.files(), self.problems)
        tried("transfer", transfer, registry.DATASETS, _ask_files_and_task, self.problems)
        tried("concepts", concepts, registry.CONCEPTS, lambda kind: kind.files(), self.problems)
        self._check_held_out(ood, sets)
        tasks = {label: dataset.task() for label, dataset in sets.items()}
        kinds = pruning.prunable if pruning else ()
        check_models(models, registry.MODELS, tasks, kinds, self.problems)
        made = tried("methods", methods, registry.METHODS, lambda method: None, self.problems)
        sparsities = ladder.sparsities if ladder else ()
        check_times(made, methods, sparsities, training, self.problems)
        check_widths(made, models, registry.MODELS, self.problems)
        check_controls(made, raw.get("methods", ()), self.problems)
        return {
            "data": data,
            "tasks": tasks,
            "ood": ood,
            "transfer": transfer,
            "concepts": concepts,
            "models": models,
            "methods": methods,
            "metrics": self._metrics(chooser, sets),
        }

    def _check_held_out(self, ood: Mapping[str, Choice], sets: Mapping[str, Any]) -> None:
        for label, choice in ood.items():
            for name, dataset in sets.items():
                if choice.kind == "held-out" and not dataset.held_out:
                    self.problems.add(
                        ("ood", label),
                        f"needs classes that are held out, and data.{name} holds out none: give "
                        "it held_out = [8, 9], or remove this table",
                    )

    def _metrics(self, chooser: Chooser, sets: Mapping[str, Any]) -> dict[str, Choice]:
        """The metrics that are named; without any, or beside ``"*"``, all whose needs are met."""
        tables = {name for name in ("ood", "transfer") if self.raw.get(name)}
        raw = self.raw.get("metrics", [EVERY])
        if raw in ([], {}):
            self.problems.add(("metrics",), "is empty; without it, all that can be are measured")
        if isinstance(raw, dict) and raw.get(EVERY):
            self.problems.add(
                ("metrics", EVERY), "takes no options; name the metrics that want some"
            )
        named = chooser.section("metrics", raw, registry.METRICS, but=EVERY)
        for label, choice in named.items():
            for message in lacks(registry.METRICS.get(choice.kind).needs, tables, sets):
                self.problems.add(("metrics", label), message)
        if not isinstance(raw, list | dict) or EVERY not in raw:
            return named
        both = {**self._default(chooser, tables, sets), **named}
        return dict(
            sorted(both.items(), key=lambda item: _rank(registry.METRICS.get(item[1].kind)))
        )

    def _default(
        self, chooser: Chooser, tables: Container[str], sets: Mapping[str, Any]
    ) -> dict[str, Choice]:
        """Every metric whose needs are met, and that is not costly."""
        choices = {}
        for spec in sorted(map(registry.METRICS.get, registry.METRICS.names()), key=_rank):
            params = chooser.defaults(spec)
            complete = all(value is not Parameter.empty for value in params.values())
            met = not lacks(spec.needs, tables, sets) and fits(spec.needs, sets)
            if met and complete and not spec.costly:
                choices[spec.name] = Choice(label=spec.name, kind=spec.name, params=params)
        return choices

    def _check_margins(self, verdict: VerdictRules, metrics: Mapping[str, Choice]) -> None:
        voters = [
            label for label, choice in metrics.items() if registry.METRICS.get(choice.kind).headline
        ]
        for label in verdict.margins:
            path = ("verdict", "margins", label)
            if label in metrics and label not in voters:
                known = ", ".join(voters) or "none"
                self.problems.add(path, f"does not vote in the verdict (those that do: {known})")
            elif label not in metrics and label not in self.raw.get("metrics", ()):
                self.problems.add(path, unknown("metric", label, voters))


EVERY = "*"
"""Among the metrics of a study: all that are not costly, beside those that are named."""
_KEYS = (
    *Head.model_fields,
    *("data", "ood", "transfer", "concepts", "models", "methods", "metrics"),
    *("training", "ladder", "pruning", "corruptions", "verdict"),
)
_REQUIRED: Mapping[str, str] = {
    "data": "add a table such as [data.digits]",
    "models": "add a table such as [models.lenet]",
    "methods": 'name at least one, such as methods = ["random", "lth"]',
}


def _rank(spec: MetricSpec) -> tuple[int, bool, str]:
    """By dimension, and within it those that vote first."""
    return get_args(Dimension).index(spec.dimension), not spec.headline, spec.name


def _ask_files_and_task(dataset: Any) -> None:
    dataset.files()
    dataset.task()
