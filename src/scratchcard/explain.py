"""What a registered thing is, from its own docstring: the text behind ``scratchcard explain``."""

from __future__ import annotations

from inspect import Parameter
from itertools import groupby
from typing import Any

from scratchcard.contracts import MethodSpec, MetricSpec, Spec, UserError
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
    for title, registry in REGISTRIES.items():
        lines.append(title.capitalize())
        specs = [registry.get(name) for name in registry.names()]
        lines += [f"  {spec.name:16} {spec.summary}" for spec in specs]
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


def guide() -> str:
    """The metrics guide as Markdown: what ``docs/metrics.md`` holds."""
    parts = [GUIDE]
    specs = sorted((METRICS.get(name) for name in METRICS.names()), key=lambda s: s.dimension)
    for dimension, members in groupby(specs, key=lambda spec: spec.dimension):
        parts.append(f"## {dimension.capitalize()}")
        for spec in members:
            parts += [f"### {spec.title} (`{spec.name}`)", *_facts(spec), _options(spec)]
            parts += [_markdown(heading, text) for heading, text in sections(spec.doc)]
    return "\n\n".join(parts) + "\n"


GUIDE = """# Metrics

Made from the metrics' docstrings by `make docs`; `scratchcard explain NAME` prints the same."""


def _markdown(heading: str, text: str) -> str:
    if heading == "Formula":
        return f"**Formula**\n\n```\n{text}\n```"
    return f"**{heading}.** {text}" if heading else text


def _page(spec: Spec) -> str:
    return "\n".join([spec.name, "=" * len(spec.name), spec.doc, "", *_facts(spec), _options(spec)])


def _facts(spec: Spec) -> list[str]:
    if isinstance(spec, MetricSpec):
        vote = f"votes, margin {spec.margin:g} ({spec.scale})" if spec.headline else "does not vote"
        facts = [f"Dimension: {spec.dimension}; {spec.better} is better; {vote}."]
        facts.append(f"Needs: {', '.join(spec.needs)}. Version {spec.version}.")
        if spec.paper:
            constants = ", ".join(f"{k} = {v}" for k, v in spec.paper.items())
            facts.append(f"In the profile `paper`: {constants}.")
        return [*facts, f"Caution: {spec.caution}"] if spec.caution else facts
    if isinstance(spec, MethodSpec):
        data = "looks at training data" if spec.needs_data else "needs no data"
        return [f"Prunes {spec.when} training; {data}. Version {spec.version}."]
    return [f"Version {spec.version}."]


def _options(spec: Spec) -> str:
    """The options as a study writes them."""
    shown = [
        f"{name} = {'(required)' if default is Parameter.empty else default!r}"
        for name, (_, default) in spec.parameters.items()
    ]
    return f"Options: {', '.join(shown) or 'none'}."
