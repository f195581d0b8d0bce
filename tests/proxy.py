"""TCP proxies before servers of the tests: one cuts connections at COMMIT, one speaks TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from sqlalchemy import make_url

COMMIT = b"COMMIT\x00"
"""The end of the message by which a client of PostgreSQL asks for it."""


class CommitCutter:
    """Passes connections on to PostgreSQL's socket and cuts some of them at COMMIT, by a seeded draw.

    Half of those before the server has got the COMMIT, half after it has answered, so that the client cannot
    tell whether its transaction has happened.
    """

    def __init__(self, url: str, share: float, seed: int) -> None:
        """`url` is the server's, by its socket's folder; `share` of the commits are cut, which may change."""
        parsed = make_url(url)
        self._target = f"{parsed.query['host']}/.s.PGSQL.{parsed.port or 5432}"
        self.share = share
        self._random = Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = parsed.set(
            host="127.0.0.1", port=self._listening.getsockname()[1], query={}
        ).render_as_string(hide_password=False)
        self.cuts = {"before": 0, "after": 0}
        self._open: list[socket.socket] = [self._listening]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in self._open:
            _shut(held)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                self._open += [client, server]
                try:
                    server.connect(self._target)
                except OSError:
                    _shut(client)
                    continue
                threading.Thread(target=self._ask, args=(client, server), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket) -> None:
        answering = threading.Event()  # set while answers are to be dropped
        threading.Thread(target=self._answer, args=(server, client, answering), daemon=True).start()
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if data.endswith(COMMIT) and self._random.random() < self.share:
                    where = self._random.choice(sorted(self.cuts))
                    if where == "after":
                        answering.set()
                        server.sendall(data)
                    self.cuts[where] += 1
                    if where == "after":
                        return  # the answer's thread ends both
                    break
                server.sendall(data)
        _shut(client)
        _shut(server)

    def _answer(self, server: socket.socket, client: socket.socket, dropped: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if dropped.is_set():
                    break
                client.sendall(data)
        _shut(client)
        _shut(server)


@contextmanager
def tls(port: int, certificate: Path, key: Path) -> Iterator[int]:
    """Speak TLS for a server of this machine that does not; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def relay(client: socket.socket) -> None:
        with (
            suppress(OSError),  # the client does not trust us
            context.wrap_socket(client, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", port)) as inner,
        ):
            threading.Thread(target=pass_on, args=(inner, outer), daemon=True).start()
            pass_on(outer, inner)

    def pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        _shut(sink)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=relay, args=(listening.accept()[0],), daemon=True).start()

    listening = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1]
    _shut(listening)


def _shut(held: socket.socket) -> None:
    with suppress(OSError):
        held.shutdown(socket.SHUT_RDWR)
    held.close()
