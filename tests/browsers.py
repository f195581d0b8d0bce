"""A real browser for the tests of pages: Chromium without a window, and without any traffic of its own."""

import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

CHROMIUM = shutil.which("chromium")
CHROMEDRIVER = shutil.which("chromedriver")

AXE = (files("selenium_axe_python") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

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


def barriers(browser: Chrome) -> list[str]:
    """What axe-core finds that bars people from the page that is open: serious and critical, with where."""
    browser.set_script_timeout(300)
    browser.execute_script(AXE)
    # A plot's thousands of paths and letters stand behind its own label; they would take most of the time.
    found = browser.execute_async_script(
        "axe.run({exclude: ['svg[aria-label] > *']}, {resultTypes: ['violations']}).then(arguments[0])"
    )
    assert found["passes"], "axe-core has looked at nothing"
    return [
        f"{violation['id']} ({violation['help']}): {node['target']}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
