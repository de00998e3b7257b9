"""The metrics guide: what each docstring says, section by section.

Sections are Google's style: a word and a colon alone on a line, or with text behind it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from scratchcard.contracts import Dimension, MetricSpec
from scratchcard.report.dimensions import by_dimension
from scratchcard.results import Results
from scratchcard.verdict import voters

HEADINGS = (
    *("Definition", "Formula", "Motivation", "Use", "Advantages", "Limitations", "Limits"),
    *("Source", "Sources", "References", "Note", "Options"),
)
CODE = ("Args", "Arguments", "Returns", "Raises", "Attributes", "Yields", "Example", "Examples")
_HEADING = re.compile(rf"({'|'.join((*HEADINGS, *CODE))}):[ \t]*(.*)")


@dataclass(frozen=True)
class Entry:
    """One metric of the guide."""

    title: str
    kind: str
    caution: str
    sections: list[tuple[str, str]]


def chapters(results: Results) -> dict[Dimension, list[Entry]]:
    """The study's metrics by dimension, those that vote first."""
    return {
        dimension: [_entry(results.metrics[label]) for label in labels]
        for dimension, labels in by_dimension(results).items()
    }


def cautions(results: Results) -> list[Entry]:
    """The metrics of the scorecard that can mislead."""
    return [_entry(spec) for k in voters(results) if (spec := results.metrics[k]).caution]


def _entry(spec: MetricSpec) -> Entry:
    return Entry(spec.title, _kind(spec), spec.caution, sections(spec.doc))


def _kind(spec: MetricSpec) -> str:
    """``lower is better, votes``."""
    return f"{spec.better} is better" + (", votes" if spec.headline else "")


def sections(doc: str) -> list[tuple[str, str]]:
    """The sections for readers as (heading, text); what stands before the first has no heading.

    >>> sections('''The share of right answers.
    ...
    ... Formula: mean of 1[argmax z = y].
    ... Args:
    ...     test: Predictions.
    ... ''')
    [('', 'The share of right answers.'), ('Formula', 'mean of 1[argmax z = y].')]
    """
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in doc.splitlines():
        match = _HEADING.fullmatch(line)
        if match:
            found.append((match[1], [match[2]] if match[2] else []))
        else:
            found[-1][1].append(line)
    texts = [
        (heading, _plain(lines, unwrap=heading not in ("Formula", "Options")))
        for heading, lines in found
        if heading not in CODE
    ]
    return [(heading, text) for heading, text in texts if text]


def _plain(lines: list[str], *, unwrap: bool) -> str:
    """The text of a section without indentation and doctests; lines are kept if not unwrapped."""
    paragraphs = inspect.cleandoc("\n".join(lines)).split("\n\n")
    text = "\n\n".join(p for p in paragraphs if not p.lstrip().startswith(">>>"))
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text).strip() if unwrap else text.strip()
