"""What passes with time and what does not: a stand-in on a socket answers as Redis does, to kombu."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from support import free_port

from db.ledger import Announcement
from jobs.dispatch.away import REDIS_CODES, away_reason
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError

BATCH = Announcement(batch_id=1, run_id=1, number=1, batches=1)


class Refusing:
    """Answers everything with one line."""

    def __init__(self, line: str) -> None:
        self._line = line.encode()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listening]
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._open.append(client)
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with suppress(OSError):
            while client.recv(1 << 16):
                client.sendall(self._line + b"\r\n")

    def close(self) -> None:
        for held in self._open:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()


@pytest.fixture
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    server = Refusing(request.param)
    # Between its tries kombu waits five seconds in all, for a server that never changes its mind here.
    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _: None)
    yield Broker.connect(server.url, 10)
    server.close()


@pytest.mark.parametrize("refusing", [f"-{code} so it says" for code in sorted(REDIS_CODES)], indirect=True)
def test_what_a_server_says_of_itself_passes_with_time(
    refusing: Broker, request: pytest.FixtureRequest
) -> None:
    code = request.node.callspec.params["refusing"].split()[0].removeprefix("-")
    for ask in (refusing.is_drained, refusing.require_writable, lambda: refusing.announce([BATCH])):
        with pytest.raises(BrokerAwayError, match="so it says") as caught:
            ask()
        assert REDIS_CODES[code] in str(caught.value)
        assert refusing.away


@pytest.mark.parametrize(
    "refusing", ["-WRONGTYPE of another program", "-ERR unknown command", "HTTP/1.1 400"], indirect=True
)
def test_what_no_waiting_mends_is_said_to_be_so(refusing: Broker) -> None:
    for ask in (refusing.is_drained, refusing.require_writable, lambda: refusing.announce([BATCH])):
        with pytest.raises(BrokerError, match="a Redis or Valkey of its own"):
            ask()
        assert not refusing.away


def test_a_server_that_is_not_there_is_away() -> None:
    broker = Broker.connect(f"redis://127.0.0.1:{free_port()}/0", 10)
    with pytest.raises(BrokerAwayError, match=r"does not answer: .*refused"):
        broker.require_writable()


def test_an_error_of_ours_is_not_the_brokers() -> None:
    assert away_reason(ValueError("OOM is no code here"), "here") is None
