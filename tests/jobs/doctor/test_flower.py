"""Flower's port: a real Flower, and stand-ins that listen where it would."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
from support import Nightread, eventually, free_port

from config.settings import Settings
from jobs.doctor import flower
from jobs.doctor.verdict import Night, State, Verdict

EVERYWHERE = "0.0.0.0"  # noqa: S104  # that is what the check is about


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port in place of Flower's usual one."""
    number = free_port()
    monkeypatch.setattr(flower, "PORT", number)
    return number


def asked() -> Verdict:
    (found,) = flower.ask(Night(Settings()))
    return found


class Open(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the base's name for it
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def listening(address: str, port: int) -> Iterator[None]:
    with HTTPServer((address, port), Open) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_nothing_and_what_listens_on_this_machine_only_is_as_it_must_be(port: int) -> None:
    assert asked().state is State.OK
    with listening("127.0.0.1", port):
        assert asked().state is State.OK


def test_a_page_that_everybody_reads_is_a_fault(port: int) -> None:
    with listening(EVERYWHERE, port):
        found = asked()
    assert found.state is State.FAULT
    assert "asks for no password" in found.seen


def test_a_real_flower_that_others_reach_with_a_password_is_a_warning(port: int, cluster: Nightread) -> None:
    cluster.environment["NIGHTREAD_FLOWER_PASSWORD"] = "throw-away"
    cluster.start("flower", "--address", EVERYWHERE, "--port", str(port))

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/healthcheck", timeout=5).ok
        except requests.ConnectionError:
            return False

    eventually(answers, what="Flower answers")
    found = asked()
    assert found.state is State.WARNING
    assert "password" in found.seen
