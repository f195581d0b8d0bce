"""Passwords and the webhook's URL stay out of what people and other users of the machine see.

Of a whole stack's processes and logs: tests/integration/test_topology.py. Of the webhook when it fails:
tests/jobs/schedules/test_schedule.py.
"""

import base64
import stat
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url
from support import Nightread, QueueServer, eventually, free_port, write_manifest

from config.errors import ConfigError
from config.settings import load_settings
from db.database import Database
from db.errors import DatabaseError

SECRET = "hunter2"
WEBHOOK = "webhook-secret"


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@127.0.0.1:port/0",
        f"redis://:{SECRET}/x@127.0.0.1:6379/0",
        f"redis://:x/{SECRET}@127.0.0.1:6379/0",
        f"redis://:7/{SECRET}@127.0.0.1:6379/0",
        f"redis://:7?{SECRET}@127.0.0.1:6379/0",
        f"redis://:{SECRET}#x@127.0.0.1:6379/0",
        f"rediss://:{SECRET}@[::1/0",
        f"amqp://me:{SECRET}@127.0.0.1//",
    ],
)
def test_a_brokers_url_that_cannot_be_read_is_not_shown(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_BROKER_URL", url)
    with pytest.raises(ConfigError, match="NIGHTREAD_BROKER_URL") as caught:
        load_settings()
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2%40%2F%23@127.0.0.1:6379/0",
        "redis://queue.example",
        "rediss://user:hunter2@queue.example:6380/1?ssl_ca_certs=/etc/ssl/ca.pem",
        "redis://[::1]:6379/0",
        "redis+socket:///tmp/a@b/queue.sock",
    ],
)
def test_a_brokers_url_that_is_right_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_BROKER_URL", url)
    settings = load_settings()
    assert settings.broker_url is not None
    assert settings.broker_url.get_secret_value() == url
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:port/x",
        f"postgresql://me:x@{SECRET}@127.0.0.1/x",
        f"postgresql://me:{SECRET}@[::1/x",
    ],
)
def test_a_databases_url_that_cannot_be_read_is_not_shown(url: str) -> None:
    with pytest.raises(DatabaseError, match="cannot be read") as caught:
        Database(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@127.0.0.1:5432/x",
        f"postgresql://127.0.0.1:5432/x?user=me&password={SECRET}",
        f"postgresql://me@127.0.0.1:5432/x?sslmode=verify-full&sslpassword={SECRET}",
    ],
)
def test_the_name_of_a_database_for_messages_is_without_passwords(url: str) -> None:
    database = Database(url)
    assert SECRET not in database.where
    assert database.where.endswith("127.0.0.1:5432/x")
    database.dispose()


@pytest.mark.processes
@pytest.mark.parametrize(
    "url",
    [f"postgresql://me:x@{SECRET}@127.0.0.1/x", f"postgresql://127.0.0.1:1/x?user=me&password={SECRET}"],
)
def test_the_command_says_in_a_line_that_it_has_no_database(nightread: Nightread, url: str) -> None:
    nightread.environment["NIGHTREAD_DATABASE_URL"] = url
    done = nightread.run("status")
    assert done.returncode in {1, 2}
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout


def command_lines(process: psutil.Process) -> set[str]:
    """What a list of processes shows of one and of all that it started."""
    found = set()
    for member in (process, *process.children(recursive=True)):
        try:
            found.add(" ".join(member.cmdline()))
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@pytest.mark.processes
def test_a_run_with_its_own_queue_shows_no_secret_and_closes_its_socket_to_others(
    nightread: Nightread, postgresql_url: str, tmp_path: Path
) -> None:
    url = make_url(postgresql_url).set(password=SECRET).render_as_string(hide_password=False)
    nightread.environment |= {
        "NIGHTREAD_DATABASE_URL": url,
        "NIGHTREAD_WEBHOOK_URL": f"https://127.0.0.1:1/{WEBHOOK}",
        "NIGHTREAD_LOG_LEVEL": "DEBUG",
        "NIGHTREAD_CHILDREN": "1",
    }
    assert nightread.run("db", "upgrade").returncode == 0
    manifest = write_manifest(tmp_path / "manifest.csv", 60)
    arguments = ("score", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "1")
    scoring = nightread.start(*arguments)
    process = psutil.Process(scoring.pid)
    seen: set[str] = set()

    def queue_and_child() -> psutil.Process | None:
        """Give the queue's process once a child runs too; it renames itself after its socket."""
        seen.update(command_lines(process))
        if not any("spawn_main" in line for line in seen):
            return None
        named = [child for child in process.children() if "unixsocket:" in " ".join(child.cmdline())]
        return named[0] if named else None

    server = eventually(queue_and_child, 60, "queue, worker and child run")
    socket = Path(" ".join(server.cmdline()).split("unixsocket:")[1].strip())
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert server.net_connections("inet") == []  # no one connects over a network
    assert nightread.ends(scoring) == 0
    assert not socket.parent.exists()

    page = tmp_path / "report.html"
    reported = nightread.run("report", "1", "-o", page)
    assert reported.returncode == 0, reported.stderr
    shown = nightread.run("status", "1", "--json")
    written = [path.read_text(errors="replace") for path in nightread.home.rglob("*.log")]
    assert len("".join(written)) > 10_000
    for text in (*seen, *written, page.read_text(), reported.stdout, shown.stdout, shown.stderr):
        assert SECRET not in text
        assert WEBHOOK not in text


@pytest.mark.processes
def test_flowers_pages_and_a_workers_own_account_show_no_secret(
    cluster: Nightread, queue_server: QueueServer
) -> None:
    url = make_url(cluster.environment["NIGHTREAD_DATABASE_URL"]).set(password=SECRET)
    cluster.environment |= {
        "NIGHTREAD_DATABASE_URL": url.render_as_string(hide_password=False),
        "NIGHTREAD_WEBHOOK_URL": f"https://127.0.0.1:1/{WEBHOOK}",
        "NIGHTREAD_FLOWER_PASSWORD": "flower-secret",
    }
    port = free_port()
    cluster.start("worker", "--model", "stub", "--children", "1", "--name", "one@shown")
    cluster.start("flower", "--port", str(port))

    def asked(path: str) -> str:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
        credentials = base64.b64encode(b"nightread:flower-secret").decode()
        request.add_header("Authorization", f"Basic {credentials}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                page: str = answer.read().decode()
                return page
        except urllib.error.URLError:
            return ""

    eventually(lambda: "one@shown" in asked("/api/workers?refresh=1"), 60, "Flower knows the worker")
    pages = {
        path: asked(path)
        for path in ("/workers", "/worker/one@shown", "/tasks", "/broker", "/api/workers", "/metrics")
    }
    assert "broker_url" in pages["/worker/one@shown"]  # its settings are there to be searched
    secrets = (queue_server.password, SECRET, WEBHOOK, "flower-secret")
    for path, page in pages.items():
        assert page, path
        assert [secret for secret in secrets if secret in page] == [], path
