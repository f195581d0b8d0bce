"""A server that answers as a test tells it, for answers that a real one does not give on demand."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Request:
    """What the server is asked. `query`: of a repeated key the last value."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What it says. `length`: the content's, as the header has it, where that is not true."""

    status: int = 200
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None


@contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[str]:
    """Answer on loopback for as long as it lasts; gives host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Request(
                self.command, parts.path, dict(parse_qsl(parts.query)), dict(self.headers.items()), body
            )
            said = answer(asked)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            length = len(said.content) if said.length is None else said.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(said.content)

        do_POST = do_GET  # noqa: N815  # the name that the base class looks for

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # as its base has it
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
