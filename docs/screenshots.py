"""Pictures of reports for this folder: what a browser shows first, light and dark, wide and narrow.

    PYTHONPATH=src python docs/screenshots.py NAME=REPORT.html ...

writes docs/NAME-1280-light.png and so on.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver

HEIGHTS = {1280: 1500, 420: 1500}
COLOURS = 64
"""A palette keeps a screenshot under 100 kB."""


def main(reports: dict[str, Path]) -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as folder:
        browser = _browser(Path(folder))
        try:
            for name, path in reports.items():
                for width, height in HEIGHTS.items():
                    for scheme in ("light", "dark"):
                        where = Path(__file__).parent / f"{name}-{width}-{scheme}.png"
                        _shoot(browser, path, (width, height), scheme, where)
        finally:
            browser.quit()


def _browser(folder: Path) -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
    for flag in (*flags, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    driver = str(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def _shoot(browser: Any, path: Path, size: tuple[int, int], scheme: str, where: Path) -> None:
    width, height = size
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(path.resolve().as_uri())
    drawn = "return document.documentElement.dataset.charts === 'drawn'"
    while not browser.execute_script(drawn):
        time.sleep(0.1)
    with Image.open(io.BytesIO(browser.get_screenshot_as_png())) as picture:
        picture.convert("RGB").quantize(COLOURS).save(where, optimize=True)


if __name__ == "__main__":
    main({name: Path(path) for name, path in (one.split("=", 1) for one in sys.argv[1:])})
