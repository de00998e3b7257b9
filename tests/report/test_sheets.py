"""Contact sheets: pictures as they are, small, in words, one sheet a rung."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scratchcard.report import page, sheets
from scratchcard.results import Results, Rung
from scratchcard.verdict import judge
from tests.factory import make_results
from tests.report import extras


def opened(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


@pytest.fixture(scope="module")
def results() -> Results:
    return extras.with_pictures(make_results(seeds=1, examples=50, metrics=("accuracy",)))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 5, 40)])
def test_small_pictures_keep_every_pixel(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    source, exact = sheets.data_uri(pixels)
    assert exact
    assert source.startswith("data:image/png;base64,")
    back = np.asarray(opened(source))
    assert (back == (pixels[0] if shape[0] == 1 else np.moveaxis(pixels, 0, -1))).all()


def test_large_pictures_are_made_small() -> None:
    y, x = np.mgrid[:300, :450]
    pixels = np.stack([x % 256, y % 256, (x + y) % 256]).astype(np.uint8)
    source, exact = sheets.data_uri(pixels)
    assert not exact
    assert opened(source).size == (96, 64)
    assert len(source) < 6_000


def test_a_sheet_a_rung_says_all_in_words(results: Results) -> None:
    found = sheets.sheets(results)
    assert [sheet.rung for sheet in found] == ["0.36", "0.5904", "0.7903", "0.8926", "0.945"]
    first = found[0].pictures[3]
    assert (first.label, first.dense, first.tickets) == (
        "class 3",
        "dense 5 of 5",
        "tickets 3 of 45",
    )
    assert first.words == (
        "Test image 3, of class class 3: right in 5 of 5 dense networks and in 3 of 45 tickets"
    )
    text = page.render(results, judge(results))
    assert text.count(f'alt="{first.words}"') == 5
    assert text.count("<small>dense 5 of 5 right</small>") == 60


def test_the_page_grows_by_less_than_300_kb(results: Results) -> None:
    """Noise, which nothing compresses, in the size of CIFAR."""
    plain = replace(results, sheets={})
    sizes = [len(page.render(r, judge(r))) for r in (results, plain)]
    assert 0 < sizes[0] - sizes[1] < 300_000


def test_an_undamaged_rung_says_so_and_no_section_without_damage(results: Results) -> None:
    one = replace(
        results,
        sheets={k: v for k, v in results.sheets.items() if k != Rung("digits", "mlp", 0.36)},
    )
    assert page.render(one, judge(one)).count("No image is damaged") == 1
    none = replace(results, sheets={})
    assert sheets.sheets(none) == []
    assert 'id="forgotten"' not in page.render(none, judge(none))
