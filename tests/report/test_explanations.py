"""Explanations and concepts: maps in common colours, masks that cover the rest, pictures once."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from scratchcard.report import concepts, explanations, page
from scratchcard.report.album import Album
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


def made(methods: tuple[str, ...] = ("lth", "random"), rungs: int = 2) -> Results:
    return make_results(
        methods=methods,
        targets=tuple(np.linspace(0.5, 0.9, rungs).round(3).tolist()),
        seeds=1,
        examples=50,
        metrics=("accuracy",),
        controls=("random",),
    )


def opened(source: str) -> np.ndarray:
    file = io.BytesIO(base64.b64decode(source.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGBA")).astype(int)


def test_colours_say_for_and_against_and_how_much() -> None:
    values = np.array([[1.0, 0.5, 0.0], [-1.0, -0.5, 0.01]], np.float32)
    found = opened(explanations.heat(values, 1.0))
    for value, pixel in zip(values.ravel(), found.reshape(-1, 4), strict=True):
        assert pixel[3] == pytest.approx(235 * abs(value), abs=12)
        if abs(value) > 0.1:
            colour = explanations.FOR if value > 0 else explanations.AGAINST
            assert pixel[:3] == pytest.approx(colour, abs=8)
    assert (opened(explanations.heat(np.zeros((3, 3)), 0.0)) == 0).all()


def test_both_maps_have_one_scale_and_large_ones_become_small() -> None:
    pair = explanations.sheets(extras.with_explanations(made()), Album())[0].lines[0].pairs[0]
    dense, sparse = opened(pair.dense)[0, 0, 3], opened(pair.sparse)[0, 0, 3]
    assert sparse == pytest.approx(dense / 2, abs=8)
    large = explanations.heat(np.ones((224, 224)), 1.0)
    assert opened(large).shape[:2] == (75, 75)


def test_lines_are_methods_with_their_cosines_in_words() -> None:
    found = explanations.sheets(extras.with_explanations(made()), Album())
    assert [(sheet.rung, sheet.heading) for sheet in found] == [
        ("0.5", "50 % sparse"),
        ("0.9", "90 % sparse"),
    ]
    lines = found[0].lines
    assert [(line.title, line.control) for line in lines] == [
        ("Lottery tickets (LTH)", False),
        ("Random pruning", True),
    ]
    assert [(p.label, p.cosine) for p in lines[0].pairs] == [
        ("class 0", "\u22120.50"),
        ("class 1", "0.00"),
        ("class 2", "0.25"),
        ("class 3", "1.00"),
    ]


@pytest.mark.parametrize(("rungs", "each"), [(1, 4), (3, 4), (6, 2), (30, 1)])
def test_many_methods_have_fewer_images_each(rungs: int, each: int) -> None:
    found = explanations.sheets(extras.with_explanations(made(rungs=rungs)), Album())
    assert {len(line.pairs) for sheet in found for line in sheet.lines} == {each}


def covered(path: str, height: int, width: int) -> np.ndarray:
    """How often each place lies in one of a path's rectangles."""
    found = np.zeros((height, width), int)
    assert not re.sub(r"M\d+ \d+h\d+v\d+h-\d+z", "", path)
    for rectangle in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z", path):
        x, y, length, tall, back = map(int, rectangle)
        assert length == back
        found[y : y + tall, x : x + length] += 1
    return found


def test_a_path_covers_all_but_the_mask_once() -> None:
    draw = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.5, 1.0):
        active = draw.random((9, 13)) < share
        width, height, path = concepts._covered(active)
        assert (covered(path, height, width) == ~active).all()
    width, height, path = concepts._covered(np.zeros((224, 224), bool))
    assert (width, height, path) == (56, 56, "M0 0h56v56h-56z")


@pytest.mark.parametrize(
    ("names", "ious", "fate"),
    [
        (("red", "red"), (0.5, 0.05), "kept"),
        (("red", "blue"), (0.5, 0.05), "changed"),
        (("red", "red"), (0.5, 0.04), "lost"),
        (("red", ""), (0.5, 0.0), "dead"),
        (("red", "red"), (0.03, 0.5), "gained"),
        (("red", ""), (0.03, 0.0), "none"),
    ],
)
def test_fates_are_those_of_the_metric(
    names: tuple[str, str], ious: tuple[float, float], fate: str
) -> None:
    """A detector exceeds the threshold of 0.04."""
    assert concepts._fate(extras.units([names], [ious]), 0, 0.04) == fate


def test_a_unit_stands_beside_itself_in_every_method() -> None:
    own = {"random": extras.units([("red", "a: fine")], [(0.5, 0.25)])}
    found = concepts.tables(extras.with_units(made(), own), Album())
    assert [table.rung for table in found] == ["0.5", "0.9"]
    assert found[0].methods == (("Lottery tickets (LTH)", False), ("Random pruning", True))
    ((number, (dense, kept, changed)),) = found[0].rows
    assert (number, dense.concept, dense.iou, dense.fate) == ("0", "red", "0.50", "")
    assert (kept.concept, kept.fate, changed.concept, changed.fate) == (
        *("red", "kept"),
        *("a: fine", "changed"),
    )
    assert (kept.iou, changed.iou) == ("0.25", "0.25")
    assert {view.path for view in dense.views} == {"M4 0h4v8h-4z"}
    assert {view.path for view in kept.views} == {"M0 0h4v8h-4z"}
    assert [view.shot for view in dense.views] == [view.shot for view in kept.views]


def test_other_units_have_a_table_of_their_own() -> None:
    two = extras.units([("red", "red"), ("blue", "")], [(0.5, 0.5), (0.4, 0.0)])
    found = concepts.tables(extras.with_units(made(rungs=1), {"random": two}), Album())
    assert [[title for title, _ in table.methods] for table in found] == [
        ["Lottery tickets (LTH)"],
        ["Random pruning"],
    ]
    assert [unit.fate for unit in found[1].rows[1][1]] == ["", "dead"]


def test_the_page_stores_every_picture_once() -> None:
    results = extras.with_explanations(extras.with_units(made()))
    text = page.render(results, judge(results))
    stored = re.findall(r'<image id="(shot-\d+)"', text)
    used = re.findall(r'<use href="#(shot-\d+)"', text)
    # Four of the unit, and four for each of two methods at two rungs.
    assert len(stored) == len(set(stored)) == 4 + 16
    assert set(used) == set(stored)
    assert len(used) == 3 * 16 + 2 * 3 * 4
    assert text.count('<span class="kept">kept</span>') == 4
    bare = page.render(made(), judge(made()))
    for name in ("explanations", "concepts", "shot-0"):
        assert f'id="{name}"' not in bare


def test_hostile_names_stay_text() -> None:
    evil = "<img src=x onerror=alert(1)>"
    own: Mapping[str, extras.Drawn] = {"lth": extras.units([(evil, evil)], [(0.5, 0.5)])}
    results = extras.with_units(made(), own)
    assert evil not in page.render(results, judge(results))


def test_the_page_grows_by_less_than_a_quarter() -> None:
    """Noise in the size of CIFAR, five methods at two rungs: nothing compresses it."""
    draw = np.random.default_rng(0)
    unit = dict(extras.units([("red", "red")] * 4, [(0.5, 0.5)] * 4))
    unit["pixels"] = draw.integers(0, 256, (4, 4, 3, 32, 32), np.uint8)
    unit["active"] = draw.random((4, 2, 4, 8, 8)) < 0.02
    plain = made(("lth", "omp", "snip", "grasp", "random"), rungs=2)
    full = extras.with_explanations(
        extras.with_units(plain, dict.fromkeys(plain.methods, unit)), size=32
    )
    sizes = [len(page.render(r, judge(r))) for r in (plain, full)]
    assert sizes[0] < sizes[1] < 1.25 * sizes[0]
