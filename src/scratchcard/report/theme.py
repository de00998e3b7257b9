"""The look that the page and the figures share: Okabe-Ito colours, marker shapes, chart styles.

Colours of the page are CSS variables, so that its charts follow dark mode and print by themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

SANS = (
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, "
    "sans-serif"
)
"""The page's font for data; Vega measures text, so it must know the names, not a variable."""


@dataclass(frozen=True)
class Hue:
    """One colour, on white paper and on a dark page."""

    light: str
    dark: str


# Okabe and Ito (2008), safe for colour-blind readers; brown and olive are ours. Every method has a
# marker besides: a shape, filled or hollow, that no other method of its colour has.
BLUE, ORANGE, GREEN = (
    Hue("#0072B2", "#4DA9E4"),
    Hue("#E69F00", "#F2B233"),
    Hue("#009E73", "#2DC299"),
)
BROWN, VERMILLION = Hue("#8A5A2B", "#C59B6D"), Hue("#D55E00", "#F4843F")
PURPLE, SKY, OLIVE = Hue("#CC79A7", "#E09DC3"), Hue("#56B4E9", "#9AD4F7"), Hue("#9A9400", "#E6DB4A")
HUES = (BLUE, ORANGE, GREEN, BROWN, VERMILLION, PURPLE, SKY, OLIVE)

GREYS = (Hue("#6E6E6E", "#A8A8A8"), Hue("#A0A0A0", "#757575"))
"""Of controls, by turns."""

# The colours of the paper's figures, by the start of a method's label.
NAMED = {
    "lth": BLUE,
    "random": ORANGE,
    "omp": GREEN,
    "snip": BROWN,
    "grasp": VERMILLION,
    "synflow": PURPLE,
}


@dataclass(frozen=True)
class Shape:
    """A marker: Vega's name, matplotlib's, and a path in a box from -5 to 5 for legends."""

    vega: str
    matplotlib: str
    path: str


SHAPES = (
    Shape("circle", "o", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z"),
    Shape("square", "s", "M-3.6-3.6h7.2v7.2h-7.2Z"),
    Shape("triangle-up", "^", "M0-4.4L4.6 3.6H-4.6Z"),
    Shape("diamond", "D", "M0-5L4.4 0L0 5L-4.4 0Z"),
    Shape("cross", "P", "M-1.5-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3Z"),
    Shape("triangle-down", "v", "M0 4.4L4.6-3.6H-4.6Z"),
    Shape("triangle-right", ">", "M4.4 0L-3.6 4.6V-4.6Z"),
    Shape("triangle-left", "<", "M-4.4 0L3.6 4.6V-4.6Z"),
)


@dataclass(frozen=True)
class Look:
    """How a method is drawn: no two share colour, shape and filling."""

    hue: Hue
    shape: Shape
    hollow: bool = False
    control: bool = False


def looks(methods: Iterable[str], controls: Collection[str] = ()) -> dict[str, Look]:
    """A look per method: the paper's colour where it has one, else the least used; controls grey.

    >>> looks(["mine", "lth"])["lth"].hue == BLUE
    True
    """
    labels, found = list(methods), dict[str, Look]()
    hues = _hues([label for label in labels if label not in controls])
    greys = cycle(GREYS)
    for label in labels:
        hue = hues[label] if label in hues else next(greys)
        alike = [look.shape for look in found.values() if look.hue == hue]
        place = SHAPES.index(alike[-1]) + 3 if alike else len(found)
        found[label] = Look(
            hue, SHAPES[place % len(SHAPES)], len(alike) % 2 == 1, label in controls
        )
    return found


def _hues(labels: Sequence[str]) -> dict[str, Hue]:
    hues: dict[str, Hue] = {}
    for label in labels:
        hue = next((hue for name, hue in NAMED.items() if label.lower().startswith(name)), None)
        if hue is not None and hue not in hues.values():
            hues[label] = hue
    for label in labels:
        if label not in hues:
            used = Counter(hues.values())
            hues[label] = min(HUES, key=lambda hue: used[hue])
    return hues


def variables(looks: Iterable[Look]) -> tuple[str, str]:
    """CSS declarations ``--m0: ...`` of font and methods, for light and for dark pages."""
    hues = [look.hue for look in looks]
    light = "".join(f"--m{i}:{hue.light};" for i, hue in enumerate(hues))
    dark = "".join(f"--m{i}:{hue.dark};" for i, hue in enumerate(hues))
    return f"--sans:{SANS};{light}", dark


MARKS: dict[str, dict[str, Any]] = {
    "dense-band": {"color": "var(--ink)", "opacity": 0.09},
    "dense-line": {"color": "var(--ink)", "strokeWidth": 1.3, "strokeDash": [6, 4]},
    "dense-seed": {"color": "var(--ink)", "opacity": 0.6, "size": 14, "filled": True},
    "interval": {},
    "bar": {"strokeWidth": 1.2},
    "front": {
        "color": "var(--muted)",
        "strokeWidth": 7,
        "opacity": 0.3,
        "interpolate": "step-before",
        "strokeJoin": "round",
    },
    "curve": {"strokeJoin": "round"},
    "seed": {"size": 12, "filled": True},
    "mean": {"size": 38, "strokeWidth": 1.3},
}
"""How each layer of a chart on the page is drawn."""


def vega() -> dict[str, Any]:
    """The Vega-Lite configuration of every chart on the page."""
    axis = {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 6,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "labelSeparation": 2,
        "gridColor": "var(--line)",
    }
    return {
        "font": SANS,
        "background": None,
        "padding": {"left": 0, "right": 4, "top": 6, "bottom": 4},
        "view": {"stroke": None},
        "axis": axis,
    }


def rc() -> Any:
    """Settings of matplotlib for a page of a paper: small type, thin lines, embedded fonts."""
    return {
        "font.family": "serif",
        # matplotlib has the first; where an SVG is looked at, one of the others will do.
        "font.serif": ["STIXGeneral", "STIX Two Text", "Times New Roman", "Times"],
        "mathtext.fontset": "stix",
        "font.size": 8.5,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "xtick.labelsize": 7.5,
        "ytick.labelsize": 7.5,
        "legend.fontsize": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "axes.edgecolor": "#555555",
        "xtick.color": "#333333",
        "ytick.color": "#333333",
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "text.parse_math": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "scratchcard",
        "figure.constrained_layout.h_pad": 0.03,
        "figure.constrained_layout.w_pad": 0.03,
    }
