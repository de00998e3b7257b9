"""The report as one HTML file that loads nothing, reads without JavaScript, prints, and keeps.

Tables are made here; charts are drawn by the reader's browser from data in the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from scratchcard.report import (
    agreement,
    attack,
    cells,
    concepts,
    corruption,
    curves,
    dimensions,
    embedded,
    explanations,
    guide,
    plots,
    ranking,
    readings,
    reliability,
    sheets,
    small,
    surface,
    tables,
    theme,
    web,
    words,
)
from scratchcard.report.album import Album
from scratchcard.report.cells import named, network_of
from scratchcard.report.summary import (
    GLYPHS,
    badges,
    chosen_rung,
    controls,
    doubts,
    facts,
    place,
    warnings,
)
from scratchcard.results import Results
from scratchcard.verdict import Verdict, breaks, lineup, voters

HERE = Path(__file__).parent
STYLES = ("page.css", "chapters.css")
"""What all sections share, then what only some have, narrow screens and paper."""
CAVEAT = 64
"""A first sentence shorter than this does not carry the verdict alone."""


def render(
    results: Results,
    verdict: Verdict,
    *,
    evidence: Mapping[str, object] | None = None,
    seconds: Mapping[str, float] | None = None,
) -> str:
    """The whole page.

    Args:
        results: What was measured.
        verdict: What ``verdict.judge`` says of it.
        evidence: Anything that backs the numbers, by name: versions, machine, command.
        seconds: What readings took, by digest.
    """
    rungs, targets = curves.ladder(results), curves.targets(results)
    panels = plots.panels(results, verdict)
    kinds = (corruption.curves(results), attack.curves(results), reliability.diagrams(results))
    diagrams = [diagram for some in kinds for diagram in some]
    album = Album()
    looks = theme.looks(lineup(results), results.controls)
    judged = sorted(
        verdict.tickets if voters(results) else (), key=lambda t: t.method in results.controls
    )
    chosen = chosen_rung(results, verdict, rungs)
    losses = web.losses(results, verdict, rungs)
    settings, broken = results.settings if judged else (), breaks(results)
    script = (HERE / "page.js").read_text(encoding="utf-8")
    return _template().render(
        results=results,
        policy=_policy(vega_bundle(), script),
        style=Markup(_style(looks.values())),
        facts=facts(results),
        headline=_paragraphs(words.sentences(results, verdict)),
        badges=badges(results, verdict),
        glyphs=GLYPHS,
        ladder=_ladder(targets),
        tickets=[words.ticket_sentence(ticket, results) for ticket in judged],
        rungs=[
            {"value": f"{rung:g}", "text": words.percent(rung).removesuffix(" %")}
            for rung in targets
        ],
        chosen=f"{chosen:g}",
        at=words.percent(chosen),
        scorecards=[
            tables.scorecard(results, verdict, setting, rung)
            for rung in targets
            for setting in results.settings
            if any((t.data, t.model, t.target) == (*setting, rung) for t in judged)
        ],
        hollow=any(c.hollow for t in judged for c in t.comparisons.values()),
        legend=_legend(results, looks),
        controls=controls(results),
        panels=[_captions(results, setting, panels) for setting in results.settings],
        breaking=[tables.breaking(results, setting, broken) for setting in settings],
        sensitive=_made(ranking.sensitive(results, broken, setting) for setting in settings),
        reach=_made(ranking.reach(results, verdict, setting) for setting in settings),
        budgets=_made(ranking.budgets(results, verdict, setting) for setting in settings),
        winners=ranking.winners(results, verdict),
        webs=web.webs(results, targets),
        losses=[{"index": len(panels) + i, "name": one.name} for i, one in enumerate(losses)],
        sheets=sheets.sheets(results),
        corruption=corruption.tables(results),
        attack=attack.tables(results),
        diagrams=_diagrams(results, diagrams),
        surfaces=surface.plots(results),
        album=album,
        explanations=explanations.sheets(results, album),
        concepts=concepts.tables(results, album),
        agreement=agreement.maps(results),
        numbers=[
            {"name": named(setting, results), "chapters": readings.numbers(results, setting)}
            for setting in results.settings
        ],
        costs=[tables.cost(results, setting) for setting in results.settings],
        guide=guide.chapters(results),
        cautions=guide.cautions(results),
        doubts=doubts(results, verdict),
        warnings=warnings(results),
        networks=[
            {"value": network_of(cell), "text": place(results, cell, cell.target)}
            for cell in results.groups
        ],
        metrics=[{"value": label, "text": spec.title} for label, spec in results.metrics.items()],
        origins=embedded.origins((evidence or {}).get("command", ""), seconds or {}),
        evidence={name: str(value) for name, value in (evidence or {}).items()},
        charts=embedded.drawings(results, list(looks.values()), rungs, panels, diagrams, losses),
        csv=embedded.table(results),
        filename=f"{results.study}.csv",
        vega=Markup(vega_bundle()),
        script=Markup(script),
    )


@lru_cache(maxsize=1)
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB, 1.5 s to make)."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert "</script" not in bundle, "the bundle would end its own script element"
    return bundle


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))


def _policy(*scripts: str) -> str:
    """A content security policy: these scripts by their hash, our styles, nothing else."""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:"


def _style(looks: Iterable[theme.Look]) -> str:
    light, dark = theme.variables(looks)
    sheet = "".join((HERE / name).read_text(encoding="utf-8") for name in STYLES)
    night = f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    return f"{sheet}:root {{ {light} }}\n{night}"


def _paragraphs(sentences: Sequence[str]) -> list[str]:
    """The sentence to be set large (with the next, if it is a mere caveat), then the rest."""
    lead = 1 if len(sentences[0]) > CAVEAT else 2
    return [" ".join(part) for part in (sentences[:lead], sentences[lead:]) if part]


def _ladder(targets: Sequence[float]) -> str:
    """What the marks of a badge stand for."""
    if len(targets) < 2:
        return f"At {words.percent(targets[0])} sparsity" if targets else ""
    return f"Sparsity from left to right: {words.between(targets[0], targets[-1])}"


def _legend(results: Results, looks: Mapping[str, theme.Look]) -> list[dict[str, object]]:
    """Every method with its look; ``first`` marks where the controls begin."""
    first = next((method for method, look in looks.items() if look.control), None)
    return [
        {"title": results.methods[method], "look": look, "first": method == first}
        for method, look in looks.items()
    ]


def _captions(
    results: Results, setting: tuple[str, str], panels: Sequence[curves.Panel]
) -> dict[str, object]:
    """A setting's name and, by dimension, each chart's title, note, and index of its element."""
    chapters = []
    for dimension, labels in dimensions.by_dimension(results).items():
        own = [
            {"index": i, "title": panel.title, "note": _caption(panel)}
            for i, panel in enumerate(panels)
            if (panel.data, panel.model) == setting and panel.metric in labels
        ]
        if own:
            note = dimensions.note(results, setting, labels)
            chapters.append({"dimension": dimension, "note": note, "panels": own})
    return {"name": named(setting, results), "chapters": chapters}


def _caption(panel: curves.Panel) -> str:
    common = "all seeds together ± 1 s.e." if panel.together else ""
    edge = "cut off" if panel.window != panel.domain else ""
    return ", ".join(filter(None, [panel.unit, "log scale" if panel.log else "", edge, common]))


def _diagrams(
    results: Results, diagrams: Sequence[small.Diagram]
) -> dict[str, dict[str, list[dict[str, object]]]]:
    """By kind and setting, each diagram's title, colour, and the index of its element."""
    order = lineup(results)
    groups: dict[str, dict[str, list[dict[str, object]]]] = {}
    for i, one in enumerate(diagrams):
        colour = f"m{order.index(one.method)}"
        caption = {"index": i, "title": results.methods[one.method], "colour": colour}
        groups.setdefault(one.kind, {}).setdefault(one.setting, []).append(caption)
    return groups


def _made(tables: Iterable[cells.Table | None]) -> list[cells.Table]:
    return [table for table in tables if table is not None]
