"""A report as a person sees it: in a browser on a desk, on a phone and on paper, without any network."""

import base64
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import barriers, needs_chromium, open_chromium
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import select, update
from support import Nightread, close_run, make_run, score_batches

from db.schema.runs import score

IMAGES = 160

pytestmark = [pytest.mark.processes, needs_chromium]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    driver = open_chromium(tmp_path / "chromium", logs={"browser": "ALL", "performance": "ALL"})
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser's own first page has asked for
    yield driver
    driver.quit()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder behind a web server: the folder, its address, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            asked.append(self.path)

    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def score_archive(nightread: Nightread) -> None:
    """Score and evaluate run 1 with the stub, its images in the home, and put in overlays of a network."""
    home = nightread.home
    for number in range(IMAGES):
        Image.fromarray(np.full((96, 79), number, dtype=np.uint8)).save(home / f"{number:08d}_000.png")
    assert nightread.call("db", "upgrade").returncode == 0
    database = nightread.database()
    run = make_run(database, home, IMAGES)
    score_batches(database, home / "models", run)
    close_run(database, run)
    overlays = nightread.settings().overlays
    with database.write() as connection:
        highest = connection.execute(select(score).order_by(score.c.probability.desc()).limit(40)).all()
        for row in highest:
            path = f"run-000001/{row.finding_id}/{row.image_id}.jpg"
            (overlays / path).parent.mkdir(parents=True, exist_ok=True)
            shade = np.linspace(0, 255, 512, dtype=np.uint8)
            Image.fromarray(np.tile(shade, (420, 1))).save(overlays / path)
            connection.execute(
                update(score)
                .where(score.c.image_id == row.image_id, score.c.finding_id == row.finding_id)
                .values(overlay_path=path)
            )


def of_page(browser: Chrome, expression: str) -> Any:
    return browser.execute_script(f"return {expression}")


def show(browser: Chrome, address: str, width: int, scheme: str) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    browser.get(address)


def requests(browser: Chrome) -> set[str]:
    """The addresses that the page has asked for, pictures within it left out."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = (m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent")
    return {address for address in asked if not address.startswith("data:")}


def luminance(colour: str) -> float:
    """Relative luminance of rgb(r, g, b), WCAG 2."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(browser: Chrome, selector: str) -> float:
    ground = luminance(of_page(browser, "getComputedStyle(document.body).backgroundColor"))
    text = luminance(of_page(browser, f"getComputedStyle(document.querySelector('{selector}')).color"))
    return (max(ground, text) + 0.05) / (min(ground, text) + 0.05)


def sort_a_table(browser: Chrome) -> None:
    """By keyboard alone, and what is no number stays at the end."""
    column = "document.querySelector('#auroc-table-caption').closest('table').tBodies[0].rows"
    numbers = f"[...{column}].map(row => parseFloat(row.cells[3].textContent))"
    before = of_page(browser, numbers)
    head = browser.find_element(By.XPATH, "//*[@id='auroc']//thead/tr/th[4]")
    browser.execute_script("arguments[0].querySelector('button').focus()", head)
    for order in ("ascending", "descending"):
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        assert head.get_attribute("aria-sort") == order
        found = of_page(browser, numbers)
        known = [number for number in found if number is not None]
        assert known == sorted(known, reverse=order == "descending")
        assert found[: len(known)] == known
        assert sorted(known) == sorted(number for number in before if number is not None)


def fade_the_heatmaps(browser: Chrome) -> None:
    opacity = "+getComputedStyle(document.querySelector('#gallery .map')).opacity"
    assert of_page(browser, opacity) == 1
    slider = browser.find_element(By.ID, "gallery-fade")
    slider.send_keys(Keys.HOME)
    assert of_page(browser, opacity) == 0
    slider.send_keys(Keys.ARROW_RIGHT)
    assert of_page(browser, opacity) == pytest.approx(0.01)
    assert browser.find_element(By.CSS_SELECTOR, "output[for=gallery-fade]").text == "1%"


def has_words_for_everything(browser: Chrome) -> None:
    """What a screen reader says: of pictures, headings, tables and links."""
    pictures = "[...document.querySelectorAll('img:not(.stack > .bare), svg')]"
    told = of_page(browser, pictures + ".map(one => one.alt || one.getAttribute('aria-label') || '')")
    assert len(told) > 4 * 14
    assert [text for text in told if len(text) < 30] == []
    assert of_page(browser, "[...document.images].every(one => one.complete && one.naturalWidth > 0)")

    levels = of_page(browser, "[...document.querySelectorAll('h1,h2,h3,h4')].map(one => +one.tagName[1])")
    assert of_page(browser, "document.querySelectorAll('main, nav, header, footer').length") == 4
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))

    tables = "[...document.querySelectorAll('table')]"
    assert of_page(browser, tables + ".every(t => t.caption.innerText && t.querySelector('th[scope=row]'))")
    assert of_page(browser, "[...document.querySelectorAll('th')].every(th => th.scope)")
    links = "[...document.querySelectorAll('nav a')]"
    assert of_page(browser, links + ".every(a => document.querySelector(a.hash))")


def test_report_reads_on_desk_phone_and_paper_and_asks_nothing_of_the_network(
    nightread: Nightread, browser: Chrome, tmp_path: Path, served: tuple[Path, str, list[str]]
) -> None:
    folder, address, asked = served
    score_archive(nightread)
    done = nightread.call("report", "1", "-o", folder / "run.html")
    assert done.returncode == 0, done.stderr
    assert "wrote " in done.stdout
    assert (folder / "run.html").stat().st_size < 5_000_000

    page = f"{address}/run.html"
    show(browser, page, 1280, "light")
    assert of_page(browser, "document.documentElement.scrollHeight") < 6_000
    browser.execute_script("document.querySelector('#auroc summary').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert of_page(browser, "document.querySelector('#auroc details').open")
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            show(browser, page, width, scheme)
            assert of_page(browser, "innerWidth") == width
            assert of_page(browser, "document.documentElement.scrollWidth") <= width
            for selector in ("body", ".soft", "td small", "a", "svg text"):
                assert contrast(browser, selector) >= 4.5, (width, scheme, selector)
            browser.execute_script(
                "for (const folded of document.querySelectorAll('details')) folded.open = true"
            )
            assert of_page(browser, "document.documentElement.scrollWidth") <= width
            assert barriers(browser) == [], (width, scheme)
            if width == 390:
                boxes = "[...document.querySelectorAll('.scroll')]"
                assert of_page(browser, boxes + ".filter(b => b.scrollWidth > b.clientWidth).length") >= 3
            browser.save_screenshot(tmp_path / f"report-{width}-{scheme}.png")

    assert requests(browser) == {page}
    assert set(asked) == {"/run.html"}
    assert browser.get_log("browser") == []

    has_words_for_everything(browser)

    paper = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    written = base64.b64decode(paper["data"])
    assert written.startswith(b"%PDF-")
    assert 5 < written.count(b"/Type /Page\n") < 60

    sort_a_table(browser)
    fade_the_heatmaps(browser)

    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page)
    assert not browser.find_element(By.ID, "gallery-fade").is_displayed()
    body = browser.find_element(By.TAG_NAME, "body").text
    assert "Not for clinical use." in body
    assert f"{IMAGES} images = {IMAGES} scored + 0 failed + 0 pending." in body
