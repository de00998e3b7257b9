"""Whether what a study chose can be made, goes together and has what it needs.

Mistakes are collected, and a check whose premises already failed is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from scratchcard.contracts import ModelSpec, Spec, Step, Task, UserError
from scratchcard.contracts.corruptions import unfit
from scratchcard.registry import Registry
from scratchcard.study.choices import Choice
from scratchcard.study.problems import Problems, show

if TYPE_CHECKING:
    from scratchcard.study.sections import Training

S = TypeVar("S", bound=Spec)


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
