"""Loss surfaces: bands that lie where the loss is, and one scale for all methods."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from scratchcard.contracts import Part, Reading
from scratchcard.report import page, surface
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


@pytest.fixture(scope="module")
def results() -> Results:
    made = make_results(
        methods=("lth", "random"),
        targets=(0.5, 0.9),
        seeds=2,
        examples=50,
        metrics=("accuracy",),
        controls=("random",),
    )
    return extras.with_planes(made, {"lth": 10.0, "random": 5.0})


def extent(path: str) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a path of one closed line."""
    x, y, *steps = map(int, re.findall(r"-?\d+", path))
    assert path.count("M") == 1
    moves = np.cumsum([[x, y], *np.reshape(steps, (-1, 2)).tolist()], axis=0)
    return (*moves.min(axis=0).tolist(), *moves.max(axis=0).tolist())


def test_bands_lie_where_the_loss_is_at_least_their_level(results: Results) -> None:
    """The loss is exp(x): levels are equidistant lines from top to bottom."""
    plot = surface.plots(results)[0]
    assert (plot.rung, plot.height, len(plot.levels)) == ("0.5", 1000, surface.BANDS + 1)
    wide = plot.surfaces[0]
    assert extent(wide.bands[0]) == (0, 0, 1000, 1000)
    for k, band in enumerate(wide.bands):
        left, *rest = extent(band)
        assert left == pytest.approx(1000 * k / surface.BANDS, abs=1)
        assert rest == [0, 1000, 1000]


def test_all_methods_have_one_scale(results: Results) -> None:
    """A triangle half as wide is drawn half as wide, and its colours mean the same."""
    plot = surface.plots(results)[0]
    wide, small = plot.surfaces
    assert (wide.title, wide.control, small.control) == ("Lottery tickets (LTH)", False, True)
    left, top, right, bottom = extent(small.bands[0])
    assert (right - left, bottom - top) == (500, 500)
    other = surface.plots(extras.with_planes(results, {"lth": 5.0, "random": 10.0}))[0]
    assert [extent(own.bands[0])[2] for own in other.surfaces] == [571, 1000]
    dense = [next(c for c in own.corners if c.kind == "dense") for own in plot.surfaces]
    assert (dense[0].x, dense[0].y) == (dense[1].x, dense[1].y)
    # Its highest loss is exp(6), of levels from exp(-2) to exp(12).
    steps = [math.log(float(level)) for level in plot.levels]
    assert np.diff(steps) == pytest.approx([14 / 9] * 9, rel=0.05)
    assert [bool(band) for band in small.bands] == [*[True] * 6, *[False] * 3]
    assert plot.ruler == pytest.approx(1000 * float(plot.distance) / 14, abs=1)


def test_corners_say_their_losses(results: Results) -> None:
    own = surface.plots(results)[0].surfaces[1]
    assert [corner.loss for corner in own.corners] == ["1.00", "148.41", "12.18"]
    assert own.note == "mean rise in the triangle +0.50"
    assert own.words.startswith("Loss around Random pruning: 1.00 dense, 148.41 ticket, 12.18 Ran")


def test_the_order_of_parts_does_not_matter() -> None:
    corners = {
        f"{what}, {name}": Part(1.0, 0.0, 9)
        for what in ("x", "y", "loss")
        for name in surface.CORNERS
    }
    grid = {
        f"loss at {x:+.4f} {y:+.4f}": Part(x + 10 * y, 0.1, 9) for x in (3, 1, 2) for y in (5, 4, 6)
    }
    found = surface._slice("lth", Reading(0.5, 0.1, 9, parts={**corners, **grid}))
    assert (found.x.tolist(), found.y.tolist()) == ([1, 2, 3], [4, 5, 6])
    assert (found.loss == found.x + 10 * found.y[:, None]).all()


def test_what_is_not_finite_or_absent_is_not_drawn(results: Results) -> None:
    def broken(m: Reading) -> Reading:
        name = next(name for name in m.parts if name.startswith("loss at"))
        return replace(m, parts={**m.parts, name: Part(math.inf, 0.0, 9)})

    networks = tuple(
        replace(m, readings={**m.readings, "loss-plane": broken(m.readings["loss-plane"])})
        if m.network.method == "lth"
        else m
        for m in results.networks
    )
    found = surface.plots(replace(results, networks=networks))
    assert [[own.title for own in plot.surfaces] for plot in found] == [["Random pruning"]] * 2
    bare = tuple(replace(m, readings={}) for m in results.networks)
    assert surface.plots(replace(results, networks=bare)) == []


@pytest.mark.parametrize(("number", "below"), [(1.0, 1), (4.99, 2), (70.0, 50), (0.3, 0.2)])
def test_rulers_have_round_lengths(number: float, below: float) -> None:
    assert surface._round(number) == pytest.approx(below)


def test_the_page_has_the_section_where_it_was_measured(results: Results) -> None:
    text = page.render(results, judge(results))
    assert text.count('<svg class="surface" viewBox="-8 -8') == 4
    assert "a third network (Random pruning), of the first seed" in text
    drawn = re.findall(r'<path d="([^"]*)" class="band" style="--b:(\d+)%"', text)
    assert len(drawn) == 4 * surface.BANDS
    assert all(int(a) > int(b) for (_, a), (_, b) in pairwise(drawn[: surface.BANDS]))
    bare = make_results(seeds=1, examples=50, metrics=("accuracy",))
    assert '<h2 id="surface">' not in page.render(bare, judge(bare))
