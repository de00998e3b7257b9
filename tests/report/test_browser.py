"""The page in a real browser: quiet, alone on its file, sortable, never wider than its window."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from scratchcard.long_table import long_table, write_csv
from scratchcard.report import page
from scratchcard.results import Results
from scratchcard.verdict import judge
from tests import factory
from tests.report import extras

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver on the PATH"
    ),
]
TABLE = "section[aria-labelledby=numbers] details:first-of-type"
EVIL = "<img src=x onerror=alert(1)>"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--window-size=1280,900"),
)


@pytest.fixture(scope="module")
def results() -> Results:
    made = factory.make_results(
        seeds=2, metrics=("accuracy", "nll", "hessian-trace", "churn", "ece"), examples=100
    )
    made = extras.with_pictures(extras.with_pies(extras.with_bins(made)), (1, 8, 8))
    made = extras.with_attack(extras.with_corruption(made))
    made = extras.with_units(extras.with_explanations(extras.with_planes(made)))
    return replace(made, study="browser", methods={**made.methods, "lth": EVIL})


@pytest.fixture(scope="module")
def browser(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "report.html"
    evidence = {"command": "scratchcard run study.toml"}
    text = page.render(results, judge(results), evidence=evidence)
    path.write_text(text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        driver.get(path.as_uri())
        WebDriverWait(driver, 20).until(
            lambda d: d.find_elements(By.CSS_SELECTOR, "html[data-charts=drawn]")
        )
        yield driver
    finally:
        driver.quit()


def all_of(browser: Any, selector: str) -> list[WebElement]:
    found: list[WebElement] = browser.find_elements(By.CSS_SELECTOR, selector)
    return found


def resize(browser: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def test_nothing_is_requested_and_nothing_complains(browser: Any) -> None:
    """First of all, for the logs are emptied when read."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"] == browser.current_url
    }
    assert urls, "the log must at least hold the page itself"
    assert {url for url in urls if not url.startswith(("data:", "blob:"))} == {browser.current_url}
    assert browser.get_log("browser") == []


def test_every_chart_is_drawn_in_svg(browser: Any, results: Results) -> None:
    charts = all_of(browser, ".chart svg")
    diagrams = 3 * len(results.methods)  # severities, eps and reliability
    assert (
        len(charts) == len(all_of(browser, ".chart")) == len(results.metrics) + diagrams + 1
    )  # losses
    assert all(chart.size["height"] > 150 for chart in charts)
    lines = all_of(browser, "#chart-0 .mark-line path")
    assert len([line for line in lines if line.get_attribute("d")]) >= len(results.methods)


def test_a_hostile_title_stays_text(browser: Any) -> None:
    assert len(all_of(browser, "img")) == len(all_of(browser, ".sheet img"))
    titles = [button.get_attribute("title") for button in all_of(browser, ".legend button")]
    assert titles[-1] == EVIL


def test_a_header_sorts_up_and_down(browser: Any) -> None:
    header = next(
        th for th in all_of(browser, f"{TABLE} th[aria-sort]") if th.text.startswith("Accuracy")
    )
    column = browser.execute_script("return arguments[0].cellIndex", header)
    button = header.find_element(By.TAG_NAME, "button")

    def shown() -> list[float]:
        cells = all_of(browser, f"{TABLE} tbody tr > :nth-child({column + 1})")
        return [float(str(cell.get_attribute("data-v"))) for cell in cells]

    before = shown()
    button.send_keys(Keys.ENTER)  # by keyboard
    assert shown() == sorted(before) != before
    assert header.get_attribute("aria-sort") == "ascending"
    browser.execute_script("arguments[0].click()", button)
    assert shown() == sorted(before, reverse=True)
    assert header.get_attribute("aria-sort") == "descending"
    others = all_of(browser, f"{TABLE} th[aria-sort=none]")
    assert len(others) == len(all_of(browser, f"{TABLE} thead th")) - 1


def test_a_rung_shows_its_tables_and_its_sheet_alone(browser: Any) -> None:
    controls = [
        control.find_elements(By.TAG_NAME, "input") for control in all_of(browser, ".rungs")
    ]
    assert [len(own) for own in controls] == [5] * 9
    cards, webs, sheets, heat, attacks, diagrams, reasons, concepts, surfaces = controls
    assert len(all_of(browser, ".rung")) == 40

    def shown() -> set[str | None]:
        """The rungs of what can be seen, and of the buttons that are pressed."""
        visible = [part for part in all_of(browser, ".rung") if part.is_displayed()]
        pressed = all_of(browser, ".rungs input:checked")
        assert (len(visible), len(pressed)) == (8, 9)
        return {part.get_attribute("data-rung") for part in visible} | {
            control.get_attribute("value") for control in pressed
        }

    pressed = (cards[0], webs[2], sheets[-1], heat[1], attacks[3], diagrams[2])
    for control in (*pressed, reasons[0], concepts[1], surfaces[4], cards[-1]):
        browser.execute_script("arguments[0].click()", control)
        assert shown() == {control.get_attribute("value")}
    cards[-1].send_keys(Keys.ARROW_LEFT)
    assert shown() == {cards[-2].get_attribute("value")}


def test_diagrams_follow_the_rung(browser: Any) -> None:
    def dots() -> list[list[str | None]]:
        """Where the tickets' dots stand, by diagram."""
        diagrams = all_of(browser, ".reliability [id^=diagram-]")
        marks = ".mark-symbol path[fill='var(--own)']"
        return [
            [dot.get_attribute("transform") for dot in one.find_elements(By.CSS_SELECTOR, marks)]
            for one in diagrams
        ]

    inputs = all_of(browser, ".rungs input")
    browser.execute_script("arguments[0].click()", inputs[0])
    before = dots()
    assert all(len(one) > 5 for one in before)
    browser.execute_script("arguments[0].click()", inputs[4])
    WebDriverWait(browser, 5).until(lambda _: dots() != before)
    browser.execute_script("arguments[0].click()", inputs[0])
    WebDriverWait(browser, 5).until(lambda _: dots() == before)


def test_heat_is_full_where_the_difference_is(browser: Any) -> None:
    """At the last rung tickets err 47 points more, and 20 have the fullest colour."""
    browser.execute_script("arguments[0].click()", all_of(browser, ".rungs input")[4])
    heat = all_of(browser, "[aria-labelledby=corruption] .rung:not([hidden]) td.heat")
    assert len(heat) == 25 * 3
    assert {cell.get_attribute("style") for cell in heat} == {"--h: 60%;"}
    (colour,) = {cell.value_of_css_property("background-color") for cell in heat}
    assert colour.endswith("/ 0.6)")


def test_pictures_are_let_in_and_keep_their_pixels(browser: Any) -> None:
    first = all_of(browser, ".sheet img")[0]
    assert browser.execute_script("return arguments[0].naturalWidth", first) == 8
    assert first.value_of_css_property("image-rendering") == "pixelated"
    assert first.get_attribute("alt")


def test_the_legend_hides_a_method_in_every_chart(browser: Any, results: Results) -> None:
    def drawn() -> list[int]:
        """Marks in the colour of the first method, by chart."""
        charts = range(len(results.metrics))  # the diagrams have another legend
        return [
            len(all_of(browser, f"#chart-{i} .mark-symbol path[fill='var(--m0)']")) for i in charts
        ]

    button = all_of(browser, ".legend button")[0]
    before = drawn()
    assert all(before)
    button.send_keys(Keys.SPACE)
    WebDriverWait(browser, 5).until(lambda _: not any(drawn()))
    assert button.get_attribute("aria-pressed") == "false"
    button.send_keys(Keys.SPACE)
    WebDriverWait(browser, 5).until(lambda _: drawn() == before)
    assert button.get_attribute("aria-pressed") == "true"


def test_a_double_click_shows_a_method_alone_and_all_again(browser: Any) -> None:
    buttons = all_of(browser, ".legend button")

    def pressed() -> list[str | None]:
        return [button.get_attribute("aria-pressed") for button in buttons]

    ActionChains(browser).double_click(buttons[1]).perform()
    assert pressed() == ["false", "true", "false"]
    ActionChains(browser).double_click(buttons[1]).perform()
    assert pressed() == ["true"] * 3


def test_pointing_at_a_method_dims_the_others(browser: Any) -> None:
    def faint() -> list[bool]:
        paths = all_of(browser, "#chart-0 .mark-symbol path[stroke='var(--m0)']")
        return [float(path.get_attribute("opacity") or 1) < 0.2 for path in paths]

    first, second = all_of(browser, ".legend button")[:2]
    ActionChains(browser).move_to_element(second).perform()
    WebDriverWait(browser, 5).until(lambda _: faint() and all(faint()))
    ActionChains(browser).move_to_element(first).perform()
    WebDriverWait(browser, 5).until(lambda _: faint() and not any(faint()))


def test_a_hidden_method_leaves_tables_and_diagrams(browser: Any) -> None:
    def shown() -> list[WebElement]:
        return [part for part in all_of(browser, "[data-m=m0]") if part.is_displayed()]

    rows = all_of(browser, "tr[data-m=m1]")
    before = len(shown())
    assert before > 5
    button = all_of(browser, ".legend button")[0]
    button.send_keys(Keys.SPACE)
    assert shown() == []
    assert any(row.is_displayed() for row in rows)
    button.send_keys(Keys.SPACE)
    assert len(shown()) == before


def test_a_click_on_a_row_keeps_its_method_lit(browser: Any) -> None:
    def faint() -> list[bool]:
        paths = all_of(browser, "#chart-0 .mark-symbol path[stroke='var(--m0)']")
        return [float(path.get_attribute("opacity") or 1) < 0.2 for path in paths]

    click = "arguments[0].querySelector('th').click()"
    row = all_of(browser, "[aria-labelledby=cost] tr[data-m=m1]")[0]
    browser.execute_script(click, row)
    WebDriverWait(browser, 5).until(lambda _: faint() and all(faint()))
    lit = {part.get_attribute("data-m") for part in all_of(browser, ".lit")}
    assert lit == {"m1"}
    browser.execute_script(click, row)
    WebDriverWait(browser, 5).until(lambda _: faint() and not any(faint()))
    assert all_of(browser, ".lit") == []


def test_the_axis_is_the_ladder_or_linear(browser: Any) -> None:
    def labels() -> set[str]:
        ticks = all_of(browser, "#chart-0 .role-axis-label text")
        return {str(tick.get_attribute("textContent")) for tick in ticks}

    log, linear = all_of(browser, ".axis input")
    ladder = labels()
    assert "36" in ladder
    browser.execute_script("arguments[0].click()", linear)
    WebDriverWait(browser, 5).until(lambda _: {"0", "20", "40", "60"} <= labels())
    browser.execute_script("arguments[0].click()", log)
    WebDriverWait(browser, 5).until(lambda _: labels() == ladder)


def test_a_number_shows_where_it_is_from(browser: Any, results: Results) -> None:
    row = all_of(browser, f"{TABLE} tbody tr[data-m=m0]")[-1]
    target = str(row.get_attribute("data-network")).split("\t")[-1]
    cell = row.find_elements(By.CSS_SELECTOR, "td.open")[0]
    browser.execute_script("arguments[0].click()", cell)
    lines = WebDriverWait(browser, 5).until(lambda _: all_of(browser, "#readings tbody tr"))
    said = [line.text.split() for line in lines if line.text.startswith("(")]
    method = next(iter(results.methods))
    expected = [
        (m.network.measures["accuracy"][:12], m.readings["accuracy"].value)
        for m in results.networks
        if (m.network.method, str(m.network.target)) == (method, target)
    ]
    assert [words[-1] for words in said] == [digest for digest, _ in expected]
    values = [value for _, value in expected]
    assert [float(words[3]) for words in said] == pytest.approx(values, rel=1e-5)
    again = all_of(browser, "#again")[0].text.splitlines()
    assert again == [f"scratchcard run study.toml --only {digest}" for digest, _ in expected]


def test_the_download_is_the_long_table(browser: Any, results: Results, tmp_path: Path) -> None:
    link = all_of(browser, "a[download]")[0]
    WebDriverWait(browser, 5).until(lambda _: link.is_displayed())
    assert link.get_attribute("download") == "browser.csv"
    where = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
    link.send_keys(Keys.ENTER)
    saved = tmp_path / "browser.csv"
    WebDriverWait(browser, 10).until(lambda _: saved.exists() and saved.stat().st_size)
    write_csv(long_table(results), tmp_path / "long.csv")
    assert saved.read_bytes() == (tmp_path / "long.csv").read_bytes()


@pytest.mark.parametrize("width", [420, 800, 1280, 2000])
def test_the_page_is_never_wider_than_the_window(browser: Any, width: int) -> None:
    resize(browser, width)
    inside = "return [document.documentElement.scrollWidth, innerWidth]"
    WebDriverWait(browser, 5).until(lambda d: d.execute_script(inside)[1] == width)
    scroll, inner = browser.execute_script(inside)
    assert scroll <= inner
    frames = browser.execute_script(
        "const right = (element) => element.getBoundingClientRect().right;"
        "return [...document.querySelectorAll('.chart')].map("
        "(chart) => [right(chart.querySelector('svg')), right(chart)])"
    )
    assert all(svg <= frame + 1 for svg, frame in frames)


def test_colours_follow_dark_mode(browser: Any) -> None:
    ink = "return getComputedStyle(document.querySelector('.chart .mark-rule line')).stroke"
    seen = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        seen.append(browser.execute_script(ink))
    assert seen[0] != seen[1]
    assert all(colour.startswith("rgb(") for colour in seen)


def test_nothing_complained_in_the_end(browser: Any) -> None:
    assert browser.get_log("browser") == []
