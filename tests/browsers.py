"""A real browser for the tests of pages: Chromium without a window, and without any traffic of its own."""

import shutil
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")

needs_chromium = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="chromium and chromedriver are not installed"
)


def open_chromium(profile: Path, *switches: str, logs: dict[str, str] | None = None) -> Chrome:
    """Start Chromium with an empty profile and further switches; `logs`: which it keeps, by level."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
        *switches,
    ):
        options.add_argument(switch)
    if logs is not None:
        options.set_capability("goog:loggingPrefs", logs)
    return Chrome(options=options, service=ChromeService(CHROMEDRIVER))
