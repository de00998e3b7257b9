"""What a registered thing is, from its own docstring: the text behind ``scratchcard explain``."""

from __future__ import annotations

import re
from inspect import Parameter
from typing import Any, Literal, get_args

from scratchcard.contracts import NEED_OPTIONS, Dimension, MethodSpec, MetricSpec, Spec, UserError
from scratchcard.registry import DATASETS, METHODS, METRICS, MODELS, Registry, did_you_mean
from scratchcard.report.guide import sections

REGISTRIES: dict[str, Registry[Any]] = {
    "methods": METHODS,
    "metrics": METRICS,
    "models": MODELS,
    "data sets": DATASETS,
}


def catalogue() -> str:
    """Every name with its first line."""
    lines = []
    width = max(len(name) for registry in REGISTRIES.values() for name in registry.names())
    for title, registry in REGISTRIES.items():
        lines.append(title.capitalize())
        specs = [registry.get(name) for name in registry.names()]
        lines += [f"  {spec.name:{width}} {spec.summary}" for spec in specs]
    return "\n".join(lines)


def page(name: str) -> str:
    """Docstring, properties and options of ``name``, in every registry that has it.

    Raises:
        UserError: Nothing has that name.
    """
    found: list[Spec] = [r.get(name) for r in REGISTRIES.values() if name in r]
    if not found:
        known = [known for registry in REGISTRIES.values() for known in registry.names()]
        raise UserError(
            f'nothing is called "{name}"{did_you_mean(name, known)}; '
            "`scratchcard explain` lists everything"
        )
    return "\n\n".join(_page(spec) for spec in found)


def guide(what: Literal["metrics", "methods"]) -> str:
    """A guide as Markdown: what ``docs/metrics.md`` and ``docs/methods.md`` hold."""
    parts = [
        f"# {what.capitalize()}",
        f"Made from the docstrings of the {what} by `make docs`; `scratchcard explain NAME` "
        "prints the same.",
    ]
    specs = [REGISTRIES[what].get(name) for name in REGISTRIES[what].names()]
    for chapter in CHAPTERS[what]:
        members = [spec for spec in specs if _chapter(spec) == chapter]
        parts += [f"## {chapter}"] if members else []
        for spec in members:
            parts += [f"### {spec.title} (`{spec.name}`)", *_facts(spec), _options(spec)]
            parts += [_markdown(heading, text) for heading, text in sections(spec.doc)]
    return "\n\n".join(parts) + "\n"


CHAPTERS = {
    "metrics": [dimension.capitalize() for dimension in get_args(Dimension)],
    "methods": ["Before training", "After training", "During training", "Controls and baselines"],
}


def _chapter(spec: MetricSpec | MethodSpec) -> str:
    if isinstance(spec, MetricSpec):
        return spec.dimension.capitalize()
    return "Controls and baselines" if spec.control else f"{spec.when.capitalize()} training"


def _markdown(heading: str, text: str) -> str:
    text = text.replace("``", "`")
    if heading == "Formula":
        return f"**Formula**\n\n```\n{text}\n```"
    if heading == "Options":
        options = re.sub(r"\n +", " ", text).splitlines()
        return "\n".join(re.sub(r"^(\w+):", r"- `\1`:", option) for option in options)
    return f"**{heading}.** {text}" if heading else text


def _page(spec: Spec) -> str:
    return "\n".join([spec.name, "=" * len(spec.name), spec.doc, "", *_facts(spec), _options(spec)])


def _facts(spec: Spec) -> list[str]:
    if isinstance(spec, MetricSpec):
        vote = f"votes, margin {spec.margin:g} ({spec.scale})" if spec.headline else "does not vote"
        facts = [f"Dimension: {spec.dimension}; {spec.better} is better; {vote}."]
        facts.append(f"Needs: {', '.join(spec.needs)}. Version {spec.version}.")
        if spec.costly:
            facts.append("Costly: a study measures it only if it names it.")
        if spec.timed:
            facts.append("Timed: measured twice, it gives two answers.")
        if spec.paper:
            constants = ", ".join(f"{k} = {v}" for k, v in spec.paper.items())
            facts.append(f"In the profile `paper`: {constants}.")
        return [*facts, f"Caution: {spec.caution}"] if spec.caution else facts
    if isinstance(spec, MethodSpec):
        data = "looks at training data" if spec.needs_data else "needs no data"
        when = "A control" if spec.control else f"Prunes {spec.when} training"
        return [f"{when}; {data}. Version {spec.version}."]
    return [f"Version {spec.version}."]


def _options(spec: Spec) -> str:
    """The options as a study writes them; those of needs, which no docstring has, with a word."""
    shown = [
        f"{name} = {'(required)' if default is Parameter.empty else default!r}"
        for name, (_, default) in spec.parameters.items()
    ]
    of_needs = {
        f"- `{name}`: {option.doc}": None
        for need in (spec.needs if isinstance(spec, MetricSpec) else ())
        for name, option in NEED_OPTIONS.get(need, {}).items()
    }
    line = f"Options: {', '.join(shown) or 'none'}."
    return "\n".join([line, *(["", *of_needs] if of_needs else [])])
