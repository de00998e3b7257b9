"""Tables for papers: methods by headline metrics at every rung, as LaTeX (booktabs) and Markdown.

Each number is the mean over seeds with its standard error, to the digits that the error allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scratchcard.report import numbers
from scratchcard.report.cells import averaged, finite, gap, named, reasons_of
from scratchcard.report.escape import latex, latex_number, markdown
from scratchcard.results import Cell, Results
from scratchcard.verdict import Comparison, Ticket, Verdict, lineup, voters

ACROSS = 4
"""Metrics that fit beside each other on a page; more are shared out over several tables."""
MARKS = {"better": "+", "matches": "=", "worse": numbers.MINUS, "undecided": "?"}
KEY = (
    "Against the dense twin: + better, = matches, "
    f"{numbers.MINUS} worse, ? undecided, (+) better where accuracy does not pass."
)


@dataclass(frozen=True)
class Entry:
    """A number as printed, and the mark of its call."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """A network: its name, its numbers, and the outcome over all headline metrics."""

    name: str
    entries: tuple[Entry, ...]
    outcome: str


@dataclass(frozen=True)
class Block:
    """The lines of one rung; the dense twin has a block of its own."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class PaperTable:
    """Some headline metrics of one data set and model."""

    caption: str
    metrics: tuple[str, ...]
    heads: tuple[str, ...]
    blocks: tuple[Block, ...]


def tables(results: Results, verdict: Verdict) -> list[PaperTable]:
    """As many tables per setting as its headline metrics need."""
    return [
        _table(results, verdict, setting, labels)
        for setting in results.settings
        for labels in _shared(voters(results))
    ]


def _shared(labels: Sequence[str]) -> list[Sequence[str]]:
    parts = -(-len(labels) // ACROSS)
    ends = [len(labels) * part // max(parts, 1) for part in range(parts + 1)]
    return [labels[a:b] for a, b in pairwise(ends)]


def _table(
    results: Results, verdict: Verdict, setting: tuple[str, str], labels: Sequence[str]
) -> PaperTable:
    tickets = {(t.method, t.target): t for t in verdict.tickets if (t.data, t.model) == setting}
    dense = Cell(*setting, "dense", 0.0)
    blocks = [Block("", (_line(results, dense, None, labels),))] if dense in results.groups else []
    for target in sorted({target for _, target in tickets}):
        lines = tuple(
            _line(results, Cell(*setting, method, target), tickets[method, target], labels)
            for method in lineup(results)
            if (method, target) in tickets
        )
        blocks.append(Block(f"{numbers.percent(target)} sparsity", lines))
    said = [f"{results.study}.", _place(results, setting), _errors(results, setting, labels), KEY]
    caption = " ".join(filter(None, said))
    return PaperTable(
        caption, tuple(labels), tuple(_head(results, k) for k in labels), tuple(blocks)
    )


def _place(results: Results, setting: tuple[str, str]) -> str:
    return f"{name}." if (name := named(setting, results)) else ""


def _errors(results: Results, setting: tuple[str, str], labels: Sequence[str]) -> str:
    """What the numbers are means over, and their errors."""
    counts = {
        sum(finite(m, label) for m in members)
        for cell, members in results.groups.items()
        for label in labels
        if cell[:2] == setting
    } - {0}
    if max(counts, default=1) == 1:
        return "One seed ± standard error over test examples."
    most = f"{'up to ' if len(counts) > 1 else ''}{max(counts)} seeds"
    return f"Means over {most} ± standard error."


def _head(results: Results, label: str) -> str:
    spec = results.metrics[label]
    unit = " (%)" if spec.unit == "fraction" else ""
    return f"{spec.title} {'↑' if spec.better == 'higher' else '↓'}{unit}"


def _line(results: Results, cell: Cell, ticket: Ticket | None, labels: Sequence[str]) -> Line:
    name, outcome = "Dense twin", ""
    if ticket is not None:
        control = cell.method in results.controls
        name = results.methods[cell.method] + (" (control)" if control else "")
        outcome = "" if control else ticket.outcome
    return Line(name, tuple(_entry(results, cell, ticket, label) for label in labels), outcome)


def _entry(results: Results, cell: Cell, ticket: Ticket | None, label: str) -> Entry:
    members = results.groups[cell]
    found = averaged(members, label)
    if found is None:
        reasons = reasons_of(members, label)
        return Entry(gap(reasons).text if reasons else "—")
    comparison = ticket.comparisons.get(label) if ticket is not None else None
    return Entry(numbers.value(results.metrics[label], *found), _mark(comparison))


def _mark(comparison: Comparison | None) -> str:
    if comparison is None or comparison.call is None:
        return ""
    return "(+)" if comparison.hollow else MARKS[comparison.call]


def as_latex(found: Iterable[PaperTable]) -> str:
    r"""The tables as floats; they take ``\usepackage{booktabs}``."""
    return "% \\usepackage{booktabs}\n" + "\n".join(map(_latex, found))


def _latex(table: PaperTable) -> str:
    width = len(table.heads) + 2
    heads = [rf"\shortstack[r]{{{_broken(head)}}}" for head in table.heads]
    lines = [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3.5pt}",
        rf"\caption{{{latex(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.heads)}l}}",
        r"\toprule",
        " & ".join(["Method", *heads, "Outcome"]) + r" \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\emph{{{latex(block.title)}}}}} \\")
        lines += [_latex_line(line) for line in block.lines]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _broken(head: str) -> str:
    """A heading in two lines, the arrow and the unit in the second."""
    title, arrow, unit = head.partition(" ↑") if " ↑" in head else head.partition(" ↓")
    return rf"{latex(title)}\\{latex((arrow + unit).strip())}"


def _latex_line(line: Line) -> str:
    cells = [latex_number(e.text) + _raised(e.mark) for e in line.entries]
    return " & ".join([latex(line.name), *cells, latex(line.outcome)]) + r" \\"


def _raised(mark: str) -> str:
    return rf"\textsuperscript{{{latex(mark)}}}" if mark else ""


def as_markdown(found: Iterable[PaperTable]) -> str:
    """The tables as GitHub's Markdown."""
    return "\n".join(map(_markdown, found))


def _markdown(table: PaperTable) -> str:
    heads = ["Method", "Sparsity", *table.heads, "Outcome"]
    lines = [
        f"{markdown(table.caption)}\n",
        _piped(map(markdown, heads)),
        _piped(["---", "---", *["---:"] * len(table.heads), "---"]),
    ]
    for block in table.blocks:
        rung = block.title.removesuffix(" sparsity") or "dense"
        for line in block.lines:
            cells = [" ".join(filter(None, [markdown(e.text), e.mark])) for e in line.entries]
            lines.append(_piped([markdown(line.name), rung, *cells, line.outcome]))
    return "\n".join([*lines, ""])


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
