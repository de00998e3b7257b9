"""A metric's docstring as the sections of the metrics guide."""

from __future__ import annotations

import textwrap

SECTIONS = ("Definition", "Formula", "Motivation", "Advantages", "Limitations", "Source")
"""What the docstring of every metric holds, beside its first line."""


def sections(doc: str) -> dict[str, str]:
    r"""The text of each section, by its title; what stands elsewhere is left out.

    >>> sections("ECE.\n\nFormula:\n    a =\n      b\n\nArgs:\n    x: y.")["Formula"]
    'a =\n  b'
    """
    found: dict[str, list[str]] = {}
    title = ""
    for line in doc.splitlines():
        if line and not line.startswith(" "):
            title = line.removesuffix(":")
        elif title in SECTIONS:
            found.setdefault(title, []).append(line)
    return {title: textwrap.dedent("\n".join(lines)).strip() for title, lines in found.items()}
