"""Who may ask: whoever has the address as it was printed, from this machine, and only to read."""

import secrets
from collections.abc import Collection
from typing import Final

from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, RequestURITooLarge
from werkzeug.wrappers import Request, Response

from jobs.report.templates import SCRIPT_HASH

METHODS: Final = ("GET", "HEAD")
_LONGEST_QUERY: Final = 1_000
"""Letters; the longest that our own pages make has a tenth of it."""

_SITES: Final = frozenset({"", "same-origin", "none"})
"""`Sec-Fetch-Site` of our own pages, of an address that a person opens, and of programs that send none."""

_PAGE: Final = "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; form-action 'self'"
_REPORT: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    f"script-src '{SCRIPT_HASH}'"
)
"""The report is one file, with its style and its only script in it."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """Knows a run's address, which holds a secret, and refuses every request that does not."""

    def __init__(self) -> None:
        """Make the secret."""
        self._token = secrets.token_urlsafe(24)
        self._hosts: Collection[str] = ()

    @property
    def path(self) -> str:
        """The path that all pages begin with."""
        return f"/{self._token}/"

    def listens_at(self, port: int) -> None:
        """Take the port, without which every request is refused."""
        self._hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})

    def check(self, request: Request) -> str:
        """Return what a request asks for, below the secret path; raises HTTPException if it may not."""
        # A name of somebody else's that leads to this machine (DNS rebinding) is not ours.
        if request.headers.get("Host", "") not in self._hosts:
            raise Forbidden("This server answers on 127.0.0.1 and localhost only.")
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            raise Forbidden("Another site asks.")
        if request.headers.get("Sec-Fetch-Site", "") not in _SITES:
            raise Forbidden("Another site asks.")
        if request.method not in METHODS:
            raise MethodNotAllowed(METHODS, "Nothing can be changed here.")
        if len(request.query_string) > _LONGEST_QUERY:
            raise RequestURITooLarge
        _, token, *rest = f"{request.path}/".split("/", maxsplit=2)
        if not secrets.compare_digest(token.encode(), self._token.encode()):
            raise Forbidden("Open the address as `nightread browse` has printed it.")
        return "/" + "".join(rest).removesuffix("/")


def refused(error: HTTPException) -> Response:
    """Answer with an error's own words, and nothing of the request."""
    answer = Response(f"{error.code} {error.name}. {error.description}\n", error.code, mimetype="text/plain")
    if isinstance(error, MethodNotAllowed):
        answer.headers["Allow"] = ", ".join(METHODS)
    return answer


def sealed(answer: Response, *, report: bool = False) -> Response:
    """Add the headers that tell a browser to run nothing but our script, and to tell nobody."""
    answer.headers.update(_HEADERS)
    policy = _REPORT if report else _PAGE
    answer.headers["Content-Security-Policy"] = f"{policy}; base-uri 'none'; frame-ancestors 'none'"
    return answer
