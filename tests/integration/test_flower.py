"""Flower as a person sees it: in a browser, beside a run that is under way."""

import base64
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from browsers import needs_chromium, open_chromium
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from support import Nightread, eventually, free_port, write_manifest

from db import queries
from db.database import Database

# A comma and a colon are what Flower's own setting would part a password at.
PASSWORD = "night, read:er"
BATCHES = 400

pytestmark = [pytest.mark.processes, needs_chromium]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    driver = open_chromium(
        tmp_path / "chromium", "--disable-quic", "--hide-scrollbars", "--window-size=1280,800"
    )
    yield driver
    driver.quit()


def ask(url: str, credentials: str | None = None, method: str = "GET") -> tuple[int, str]:
    """Ask Flower; status and text of the answer."""
    request = urllib.request.Request(url, method=method)  # noqa: S310  # our own server
    if credentials is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, "nobody answers"


def shown(browser: Chrome) -> str:
    text: str = browser.find_element(By.TAG_NAME, "body").text
    return text


def texts(browser: Chrome, selector: str) -> list[str]:
    """The texts of all elements, read at one moment: the page replaces its tables while it is looked at."""
    script = "return [...document.querySelectorAll(arguments[0])].map(one => one.textContent.trim())"
    found: list[str] = browser.execute_script(script, selector)
    return found


def test_flower_shows_workers_and_batches_and_changes_nothing(
    cluster: Nightread, browser: Chrome, tmp_path: Path
) -> None:
    port = free_port()
    host, user = f"127.0.0.1:{port}", "nightread"
    page = f"http://{host}"
    cluster.environment["NIGHTREAD_FLOWER_PASSWORD"] = PASSWORD
    workers = [
        cluster.start("worker", "--model", "stub", "--children", "1", "--name", f"{name}@%h")
        for name in ("reader-one", "reader-two")
    ]
    cluster.start("flower", "--port", str(port))
    eventually(lambda: ask(f"{page}/healthcheck") == (200, "OK"), what="Flower answers")

    # Who has no password or a part of it sees nothing; the two addresses that tell no secrets are open.
    for wrong in (None, f"{user}:", f"{user}:night", " read:er", "read:er"):
        for path in ("/", "/workers", "/tasks", "/api/workers", "/api/tasks", "/broker"):
            assert ask(page + path, wrong)[0] == 401, (wrong, path)
    assert ask(f"{page}/metrics")[0] == 200
    browser.get(f"{page}/workers")
    assert "reader-one" not in browser.page_source

    credentials = f"{user}:{PASSWORD}"

    def known() -> set[str]:
        return set(re.findall("reader-(?:one|two)@", ask(f"{page}/api/workers?refresh=1", credentials)[1]))

    eventually(lambda: len(known()) == 2, what="Flower knows both workers")
    manifest = write_manifest(tmp_path / "manifest.csv", 2 * BATCHES)
    submitted = cluster.run("submit", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "2")
    assert submitted.returncode == 0, submitted.stderr
    run_id = int(submitted.stdout)

    browser.get(f"http://{user}:{quote(PASSWORD, safe='')}@{host}/tasks")
    of_run = re.compile(rf"^run {run_id}, batch \d+/{BATCHES}$", re.MULTILINE)

    def cells() -> list[str]:
        return [cell for cell in texts(browser, "#tasks-table tbody td") if of_run.match(cell)]

    eventually(cells, 20, "the tasks page shows run and batch")
    finished = f"{page}/api/tasks?state=SUCCESS&limit=20"
    eventually(lambda: ask(finished, credentials)[1].count("nightread.score_batch") >= 8, 30, "some are done")
    browser.refresh()
    batches = eventually(cells, 20, "the tasks page shows run and batch")
    assert len(batches) >= 5
    assert len(set(batches)) == len(batches)
    assert "SUCCESS" in shown(browser)
    assert "batch_id" not in shown(browser)
    browser.save_screenshot(tmp_path / "tasks.png")

    browser.get(f"{page}/workers")
    eventually(lambda: shown(browser).count("Online") >= 2, 20, "both workers are online")
    names = texts(browser, "#workers-table tbody td:first-child")
    assert [name.partition("@")[0] for name in sorted(names)] == ["reader-one", "reader-two"]
    browser.save_screenshot(tmp_path / "workers.png")

    name = min(names)
    browser.get(f"{page}/worker/{name}")
    eventually(lambda: texts(browser, "#workername") == [name], 20, "the worker's page is there")
    assert browser.find_elements(By.CSS_SELECTOR, "#worker-group, #worker-shutdown") == []
    for action in (
        f"/api/worker/shutdown/{name}",
        f"/api/worker/pool/grow/{name}?n=1",
        f"/api/worker/queue/cancel-consumer/{name}?queue=score",
        "/api/task/async-apply/nightread.reconcile",
        "/api/task/send-task/nightread.reconcile",
    ):
        status, told = ask(page + action, credentials, "POST")
        assert (status, "read only" in told.lower()) == (403, True), (action, status, told)
    browser.get(f"{page}/broker")
    assert "throw-away" not in browser.page_source

    ledger = Database(cluster.environment["NIGHTREAD_DATABASE_URL"])
    tick = cluster.start("beat")
    eventually(lambda: queries.progress(ledger, run_id).status == "complete", 40, "the run is complete")
    ledger.dispose()
    assert [process.poll() for process in (*workers, tick)] == [None, None, None]


@pytest.mark.parametrize(
    ("password", "told"),
    [("", "NIGHTREAD_FLOWER_PASSWORD is not set"), ("fünf", "must be ASCII")],
    ids=["empty", "not ASCII"],
)
def test_flower_does_not_start_openly_with_a_password_that_protects_nothing(
    cluster: Nightread, password: str, told: str
) -> None:
    cluster.environment["NIGHTREAD_FLOWER_PASSWORD"] = password
    refused = cluster.run("flower", "--address", "0.0.0.0", timeout=20)  # noqa: S104  # it must not start
    assert refused.returncode == 2
    assert told in refused.stderr
