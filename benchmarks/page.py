"""How large a report is and how fast a browser paints it.

    PYTHONPATH=src python benchmarks/page.py REPORT.html ...

prints a Markdown table: the size with and without pictures, readings (rows of the long table that
are no parts), and the medians over five loads in headless Chromium of the first contentful paint
and of the moment when every chart is drawn. An empty page is measured beside, for the machine's own
time.
"""

from __future__ import annotations

import base64
import csv
import gzip
import io
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from selenium import webdriver

LOADS = 5
PICTURE = re.compile(r"data:image/[^\"')]+")
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
DRAWN = "return document.documentElement.dataset.charts === 'drawn' ? performance.now() : null"


def main(reports: list[Path]) -> None:
    """Print the table."""
    print("| report | readings | MB | without pictures | first paint, ms | all charts, s |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title><p>Nothing.</p>")
        browser = _browser(Path(folder))
        try:
            first, _ = _loads(browser, empty, charts=False)
            print(f"| (an empty page) |  |  |  | {first:.0f} |  |")
            for path in reports:
                _print(path, *_loads(browser, path, charts=True))
        finally:
            browser.quit()


def _browser(folder: Path) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900"):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    driver = str(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def _loads(browser: Any, path: Path, *, charts: bool) -> tuple[float, float]:
    """Medians of the first paint in milliseconds, and of the last chart in seconds."""
    paints, ends = [], []
    for _ in range(LOADS):
        browser.get(path.resolve().as_uri())
        paints.append(_wait(browser, PAINT))
        ends.append(_wait(browser, DRAWN) / 1000 if charts else 0.0)
    return median(paints), median(ends)


def _wait(browser: Any, script: str) -> float:
    for _ in range(600):
        found = browser.execute_script(script)
        if found is not None:
            return float(found)
        time.sleep(0.1)
    raise TimeoutError(f"60 s without an answer to: {script}")


def _print(path: Path, paint: float, drawn: float) -> None:
    text = path.read_text(encoding="utf-8")
    packed = re.search(r'id="long-table">"([^"]*)"', text)
    assert packed is not None, "a report holds its long table"
    table = gzip.decompress(base64.b64decode(packed[1])).decode()
    rows = [row for row in csv.DictReader(io.StringIO(table)) if not row["subset"]]
    networks = {
        tuple(row[k] for k in ("data", "model", "method", "target_sparsity", "seed"))
        for row in rows
        if row["seed"]
    }
    sizes = [len(some.encode()) / 1e6 for some in (text, PICTURE.sub("", text))]
    name = f"{rows[0]['study']}, {len(networks)} networks"
    print(
        f"| {name} | {len(rows):,} | {sizes[0]:.2f} | {sizes[1]:.2f} | {paint:.0f} | {drawn:.1f} |"
    )


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
