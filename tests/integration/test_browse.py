"""`nightread browse` as a person uses it: a real browser, the keyboard, both widths, and its end."""

import http.client
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from browsers import barriers, needs_chromium, open_chromium
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import update
from support import Nightread, eventually, make_run, score_batches, tenth_failed
from volume_support import head, label_of, nifti, segment_cases

from db.schema.archives import image
from db.upgrade import upgrade

IMAGES = 60
SCRIPT = "<img src=x onerror=document.title=0>"

pytestmark = pytest.mark.processes


def score_archive(nightread: Nightread, folder: Path) -> None:
    """Write a run by the stub, every tenth image failed, whose files are ramps; one name holds a script."""
    database = nightread.database()
    upgrade(database)
    run = make_run(database, folder, IMAGES)

    score_batches(database, folder / "models", run, tenth_failed)
    for number in range(IMAGES):
        ramp = np.tile(np.linspace(0, 255, 96, dtype=np.uint8), (96, 1))
        name = f"{SCRIPT}.png" if number == 2 else f"{number:08d}_000.png"
        Image.fromarray(ramp).save(folder / name)
    with database.write() as connection:
        connection.execute(update(image).where(image.c.id == 3).values(image_index=f"{SCRIPT}.png"))


def segment_volumes(nightread: Nightread) -> None:
    """Write a run of volumes by a pointwise network: two with a label, one without, one that is damaged."""
    folder = nightread.home / "volumes"
    folder.mkdir()
    for number in range(3):
        values = head(seed=number)
        (folder / f"c{number}.nii.gz").write_bytes(nifti(values))
        (folder / f"l{number}.nii.gz").write_bytes(nifti(label_of(values)))
    (folder / "c3.nii.gz").write_bytes(b"no volume")
    database = nightread.database()
    upgrade(database)
    manifest = "Image,Label\nc0.nii.gz,l0.nii.gz\nc1.nii.gz,l1.nii.gz\nc2.nii.gz,\nc3.nii.gz,\n"
    segment_cases(database, nightread.home, manifest)
    with database.write() as connection:
        connection.execute(update(image).where(image.c.id == 2).values(image_index=f"{SCRIPT}.nii"))


@contextmanager
def browsing(nightread: Nightread) -> Iterator[str]:
    """The address that the command has printed; it ends at a termination, at once and without a word."""
    nightread.environment["COLUMNS"] = "300"
    process = nightread.start("browse", "last", "--port", "0")
    (log,) = nightread.home.glob("browse.*.log")
    found = eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+/\S+/", log.read_text()), 60, "an address")
    yield found[0]
    process.send_signal(signal.SIGTERM)
    assert nightread.ends(process, 20) == 0
    assert len(log.read_text().splitlines()) == 1


@pytest.fixture
def address(nightread: Nightread, tmp_path: Path) -> Iterator[str]:
    """The address of a run of radiographs."""
    score_archive(nightread, tmp_path)
    with browsing(nightread) as found:
        yield found


@pytest.fixture
def address_of_volumes(nightread: Nightread) -> Iterator[str]:
    """The address of a run of volumes."""
    segment_volumes(nightread)
    with browsing(nightread) as found:
        yield found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    driver = open_chromium(tmp_path / "chromium", logs={"browser": "ALL"})
    yield driver
    driver.quit()


def show(browser: Chrome, address: str, width: int, scheme: str) -> None:
    screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    preference = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)
    browser.get(address)


def of_page(browser: Chrome, expression: str) -> Any:
    return browser.execute_script(f"return {expression}")


def press(browser: Chrome, key: str) -> None:
    browser.switch_to.active_element.send_keys(key)


def heading(browser: Chrome) -> str:
    return str(browser.find_element(By.TAG_NAME, "h1").text)


def reaches(browser: Chrome, name: str) -> None:
    eventually(lambda: heading(browser) == name, 10, name)


def loads(browser: Chrome, picture: str) -> None:
    shown = f"document.querySelector('{picture}')"
    eventually(lambda: of_page(browser, f"{shown}.complete && {shown}.naturalWidth > 0"), 10, picture)


def opacity(browser: Chrome) -> float:
    return float(of_page(browser, "getComputedStyle(document.getElementById('map')).opacity"))


@needs_chromium
def test_a_run_is_looked_through_by_keyboard(browser: Chrome, address: str) -> None:
    show(browser, address, 1280, "light")
    light = of_page(browser, "getComputedStyle(document.body).backgroundColor")
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 50
    browser.find_element(By.LINK_TEXT, "00000001_000.png").send_keys(Keys.ENTER)
    assert heading(browser) == "00000001_000.png"
    for way, name in (
        ("j", f"{SCRIPT}.png"),
        (Keys.ARROW_RIGHT, "00000003_000.png"),
        ("k", f"{SCRIPT}.png"),
        (Keys.ARROW_LEFT, "00000001_000.png"),
    ):
        press(browser, way)
        reaches(browser, name)
    assert of_page(browser, "document.title") == "00000001_000.png - Nightread"
    loads(browser, ".stack img")
    loads(browser, "#map")
    # The slider is reached by Tab alone, fades by its own keys, and stays as it is on the next image.
    for _ in range(20):
        press(browser, Keys.TAB)
        if browser.switch_to.active_element.get_attribute("id") == "strength":
            break
    assert opacity(browser) == 0.5
    press(browser, Keys.ARROW_RIGHT)
    assert opacity(browser) == pytest.approx(0.51)
    assert browser.find_element(By.ID, "percent").text == "51%"
    press(browser, Keys.HOME)
    assert opacity(browser) == 0
    assert heading(browser) == "00000001_000.png"  # an arrow within the slider goes nowhere else
    browser.find_element(By.CSS_SELECTOR, "a[rel=next]").click()
    assert opacity(browser) == 0
    show(browser, address, 1280, "dark")
    assert of_page(browser, "getComputedStyle(document.body).backgroundColor") != light
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@needs_chromium
def test_filters_are_sent_and_pages_fit_desk_and_phone_and_bar_nobody(browser: Chrome, address: str) -> None:
    show(browser, address, 390, "light")
    browser.find_element(By.NAME, "failure").send_keys("failed, any")
    press(browser, Keys.ENTER)
    browser.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    eventually(lambda: len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 6, 10, "the failed images")
    for page in (address, f"{address}image/2", f"{address}image/10", f"{address}report"):
        for width, scheme in product((390, 1280), ("light", "dark")):
            show(browser, page, width, scheme)
            assert of_page(browser, "document.documentElement.scrollWidth") <= width
            assert barriers(browser) == [], (page, width, scheme)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@needs_chromium
def test_a_run_of_volumes_is_looked_through_and_a_mask_is_taken_from_it(
    browser: Chrome, address_of_volumes: str, tmp_path: Path
) -> None:
    folder = tmp_path / "downloads"
    behaviour = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    show(browser, address_of_volumes, 1280, "light")
    assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) == 4
    loads(browser, "img.planes")
    browser.find_element(By.NAME, "order").send_keys("largest")
    browser.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    eventually(lambda: "order=ml" in browser.current_url, 10, "the list by size")
    names = [link.text for link in browser.find_elements(By.CSS_SELECTOR, "tbody th a")]
    assert names[-1] == "c3.nii.gz"
    assert f"{SCRIPT}.nii" in names
    browser.find_element(By.LINK_TEXT, names[0]).send_keys(Keys.ENTER)
    for way, name in (("j", names[1]), (Keys.ARROW_RIGHT, names[2]), ("k", names[1])):
        press(browser, way)
        reaches(browser, name)
    loads(browser, "img.planes")
    browser.find_element(By.LINK_TEXT, "Download it").send_keys(Keys.ENTER)
    eventually(lambda: list(folder.glob("*_mask.nii.gz")), 10, "the mask")
    for page in ("", "case/1", "case/3", "case/4", "report"):
        for width, scheme in product((390, 1280), ("light", "dark")):
            show(browser, address_of_volumes + page, width, scheme)
            assert of_page(browser, "document.documentElement.scrollWidth") <= width
            assert barriers(browser) == [], (page, width, scheme)
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_raw_requests_reach_no_file_and_no_page_without_the_secret(address: str) -> None:
    parts = urlsplit(address)
    assert parts.hostname == "127.0.0.1"

    def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=10)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    assert ask(parts.path)[0] == 200
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/",
        "http://evil.example/",
    ):
        status, content = ask(path)
        assert status == 403, path
        assert b"root:" not in content
    for path in ("../../etc/passwd", "..%2f..%2fetc%2fpasswd", "radiograph/../../etc/passwd"):
        status, content = ask(parts.path + path)
        assert status in {403, 404}, path
        assert b"root:" not in content
    assert ask(parts.path, Host="evil.example")[0] == 403
    assert ask(parts.path, "POST")[0] == 405
    assert ask(parts.path, "DELETE")[0] == 405
    assert ask(f"{parts.path}?finding={'A' * 70_000}")[0] == 414


def test_a_port_in_use_and_an_unknown_run_are_one_line(nightread: Nightread, address: str) -> None:
    done = nightread.run("browse", "1", "--port", str(urlsplit(address).port))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "cannot be listened on" in done.stderr
    done = nightread.run("browse", "9")
    assert done.returncode == 2
    assert "there is no run 9" in done.stderr
