"""What a study chooses from the registries: labels, kinds and options, resolved and tried out.

Mistakes are collected, and a check whose premises already failed is left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from scratchcard.contracts import MetricSpec, ModelSpec, Spec, Step, Task, UserError
from scratchcard.contracts.corruptions import unfit
from scratchcard.registry import Registry
from scratchcard.study.lines import KeyPath
from scratchcard.study.problems import Problems, show, unknown

if TYPE_CHECKING:
    from scratchcard.study.sections import Training

S = TypeVar("S", bound=Spec)
Profile = Literal["default", "paper"]

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = ("dense",)


class Choice(BaseModel):
    """One thing a study uses.

    Attributes:
        label: What the study calls it.
        kind: Its name in the registry.
        params: Every option with its value: the default, else the profile's, else the study's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    kind: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Chooser:
    """Reads sections such as ``methods``.

    Attributes:
        problems: Where mistakes go.
        profile: Which constants metrics get.
        folders: Where relative paths are looked for, in this order.
    """

    problems: Problems
    profile: Profile
    folders: tuple[Path, ...]

    def section(
        self, name: str, raw: object, registry: Registry[S], *, but: str = ""
    ) -> dict[str, Choice]:
        """The choices of a section that are right, by label in the order of the file.

        Args:
            name: Of the section.
            raw: What the file says.
            registry: Where kinds are found.
            but: A label that is no choice.
        """
        choices = {}
        for label, options in self._tables(name, raw).items():
            if label == but:
                continue
            path = (name, label)
            if not _LABEL.fullmatch(label) or label in _RESERVED:
                self.problems.add(
                    path,
                    f"{show(label)} cannot be a label: take letters, digits, '.', '_' and '-', "
                    f"and not {', '.join(map(show, _RESERVED))}; the kind can be named apart from "
                    'the label: kind = "..."',
                )
            named = (*path, "kind") if "kind" in options else path
            kind = options.pop("kind", label)
            if not isinstance(kind, str):
                self.problems.add(named, f"must be a name in quotes, not {show(kind)}")
                continue
            try:
                spec = registry.get(kind)
            except UserError as error:
                self.problems.add(named, str(error))
                continue
            params = self._params(path, spec, options)
            if params is not None:
                choices[label] = Choice(label=label, kind=kind, params=params)
        return choices

    def defaults(self, spec: Spec) -> dict[str, Any]:
        """The options of ``spec`` before the study has its say."""
        own = {name: default for name, (_, default) in spec.parameters.items()}
        paper = spec.paper if isinstance(spec, MetricSpec) and self.profile == "paper" else {}
        return {**own, **paper}

    def _tables(self, name: str, raw: object) -> dict[str, dict[str, Any]]:
        """Both forms of a section, a list of names or tables by label, as tables."""
        add = self.problems.add
        tables: dict[str, dict[str, Any]] = {}
        if isinstance(raw, list):
            for index, label in enumerate(raw):
                if not isinstance(label, str):
                    add((name, index), f"must be a name in quotes, not {show(label)}")
                elif label in tables:
                    add((name, index), f"{show(label)} is listed twice")
                else:
                    tables[label] = {}
                    self.problems.alias((name, label), of=(name, index))
        elif isinstance(raw, dict):
            for label, options in raw.items():
                if isinstance(options, dict):
                    tables[label] = dict(options)
                else:
                    add((name, label), f"must be a table of options, not {show(options)}")
        else:
            add((name,), f"must be a list of names or tables [{name}.LABEL], not {show(raw)}")
        return tables

    def _params(
        self, path: KeyPath, spec: Spec, options: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Every option of ``spec``, or None if one is wrong."""
        before = len(self.problems)
        params = self.defaults(spec)
        for key, raw in options.items():
            if key in spec.parameters:
                params[key] = self.problems.option((*path, key), spec.parameters[key][0], raw)
            else:
                self.problems.add((*path, key), unknown("option", key, spec.parameters))
        for key, value in params.items():
            if value is inspect.Parameter.empty:
                self.problems.add((*path, key), "is required")
            else:
                params[key] = self._found((*path, key), value)
        return params if len(self.problems) == before else None

    def _found(self, path: KeyPath, value: Any) -> Any:
        """``value`` with every path in it made absolute."""
        if isinstance(value, tuple):
            return tuple(self._found((*path, index), item) for index, item in enumerate(value))
        if not isinstance(value, Path):
            return value
        return existing_path(value, self.folders, path, self.problems)


def existing_path(
    value: Path, folders: tuple[Path, ...], path: KeyPath, problems: Problems
) -> Path:
    """``value`` made absolute; that it is nowhere is noted at the key ``path``."""
    places = [folder / value.expanduser() for folder in folders]
    for place in places:
        if place.exists():
            return place
    looked = " and ".join(dict.fromkeys(map(str, places)))
    problems.add(path, f'"{value}" does not exist (looked for {looked})')
    return value


def tried(
    section: str,
    choices: Mapping[str, Choice],
    registry: Registry[S],
    trial: Callable[[Any], object],
    problems: Problems,
) -> dict[str, Any]:
    """An instance of each choice, by label, that can be made and that ``trial`` does not refuse."""
    made = {}
    for label, choice in choices.items():
        try:
            made[label] = registry.get(choice.kind).target(**choice.params)
            trial(made[label])
        except (ValueError, OSError) as error:
            made.pop(label, None)
            problems.add((section, label), str(error))
    return made


def check_models(
    models: Mapping[str, Choice],
    registry: Registry[Any],
    tasks: Mapping[str, Task],
    kinds: tuple[str, ...],
    problems: Problems,
) -> None:
    """Build every model for every data set, and see that it has something to prune."""
    if not tasks:
        return
    import torch  # here, because a study that names no known model must not wait for it

    from scratchcard.prunable import prunable

    for label, choice in models.items():
        for data, task in tasks.items():
            try:
                # Without memory or draws: a large network would take seconds.
                with torch.device("meta"):
                    model = registry.get(choice.kind).target(task, **choice.params)
            except ValueError as error:
                problems.add(("models", label), f"does not fit data.{data} ({task}): {error}")
                continue
            try:
                if kinds:
                    prunable(model, kinds)
            except ValueError as error:
                problems.add(("pruning", "prunable"), f"does not suit models.{label}: {error}")


def check_times(
    methods: Mapping[str, Any],
    choices: Mapping[str, Choice],
    sparsities: Iterable[float],
    training: Training | None,
    problems: Problems,
) -> None:
    """Ask every method for its rounds, its recipe and its steps of training."""
    epochs = training.epochs if training else None
    for label, method in methods.items():
        try:
            for sparsity in method.ladder(tuple(sparsities)):
                method.rounds(sparsity)
                if training is not None:
                    training.wanted_by(method, sparsity)
            own = (method.starts_from or "0ep", method.scored_at, *method.watches, *method.times)
            steps = dict.fromkeys(own)
        except ValueError as error:
            problems.add(("methods", label), str(error))
            continue
        for step in steps:
            try:
                within(step, epochs)
            except ValueError as error:
                said = [key for key, value in choices[label].params.items() if value == step]
                problems.add(("methods", label, *said[:1]), str(error))


def check_controls(methods: Mapping[str, Any], named: Iterable[str], problems: Problems) -> None:
    """See that the method a control looks at is there, and has a mask of its own."""
    for label, method in methods.items():
        if method.of is None:
            continue
        source = methods.get(method.of)
        able = [name for name, other in methods.items() if not _unfit(method, other)]
        mend = f"take one of {', '.join(map(show, able))}" if able else "add one, such as lth"
        if source is not None and method.of not in able:
            problems.add(
                ("methods", label, "of"), f"{show(method.of)} {_unfit(method, source)}; {mend}"
            )
        elif source is None and method.of not in named:
            problems.add(
                ("methods", label, "of"), f"{show(method.of)} is no method of this study; {mend}"
            )


def check_widths(
    methods: Mapping[str, Any],
    models: Mapping[str, Choice],
    registry: Registry[ModelSpec],
    problems: Problems,
) -> None:
    """See that what shall be made narrower can be."""
    able = [name for name in registry.names() if registry.get(name).narrower is not None]
    for label, method in methods.items():
        for model, choice in models.items():
            if method.gives == "narrower" and choice.kind not in able:
                problems.add(
                    ("methods", label),
                    f"makes models narrower, which models.{model} cannot be (those that can: "
                    f"{', '.join(able)})",
                )


def _unfit(control: Any, source: Any) -> str:
    """Why ``source`` is none that ``control`` can look at; empty if it can."""
    if source.of is not None:
        return "is a control itself"
    if source.gives != "masks":
        return "makes the network smaller, so it has no mask to look at"
    if source.watches:
        return "prunes at a step that is found on the way, where a control cannot start"
    if control.does("begin") and not control.starts_from and source.weights == "trained":
        return "goes on from trained weights, which a control does not have"
    return ""


def within(step: str, epochs: float | None) -> str:
    """``step`` itself, or a ``ValueError`` if it is none or lies beyond the end of training."""
    moment = Step.parse(step)
    if epochs is not None and moment.unit == "ep" and moment.value > epochs:
        raise UserError(f"{show(step)} lies beyond the end of training, which has {epochs} epochs")
    return step


def lacks(needs: Iterable[str], tables: Container[str], data: Mapping[str, Any]) -> list[str]:
    """What a study has to be given before a metric that ``needs`` can be measured.

    Args:
        needs: Names out of ``contracts.NEEDS``.
        tables: Which of the tables "ood" and "transfer" the study has.
        data: Its data sets, by label.
    """
    wishes = {need.partition("_")[0] for need in needs}
    messages = []
    if "ood" in wishes and "ood" not in tables:
        messages.append(
            "needs an out-of-distribution set, and the study has none: add a table such as "
            "[ood.gaussian-noise]"
        )
    if "transfer" in wishes and "transfer" not in tables:
        messages.append(
            "needs another labelled data set, and the study has none: add a table such as "
            "[transfer.digits]"
        )
    if "val" in wishes:
        messages += [
            f"needs validation images, and data.{label} has none: give it val_images = 500 or, "
            "if its kind has the option, a val path"
            for label, dataset in data.items()
            if not has_val(dataset)
        ]
    return messages


def fits(needs: Iterable[str], data: Mapping[str, Any]) -> bool:
    """Whether a metric that ``needs`` says something on one of the data sets."""
    wanted = any(need.startswith("corrupt") for need in needs)
    return not wanted or any(not unfit(dataset.task()) for dataset in data.values())


def has_val(dataset: Any) -> bool:
    """Whether a data set has validation images."""
    own = getattr(dataset, "has_val", None) or getattr(dataset, "val", None)
    return bool(own or dataset.val_images)
