"""The object stores that images may lie in: opened as the environment says, and what their errors mean.

obstore has one class for nearly every error, so that what happened is read from its text: the status, the
store's own code and the kind of a broken connection. The text itself goes nowhere: it quotes addresses and
what the store answered, which may hold an access key.
"""

import http.client
import os
import re
import ssl
from contextlib import suppress
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Store = AzureStore | GCSStore | S3Store

PREFIXES: Final = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}
"""The stores by their scheme, and how the variables that they read begin."""

NOTHING: Final = "nightread-asks-who-answers"
"""A key that no object has."""

_ANSWER_SECONDS: Final = 5.0
_CLIENT: Final[dict[str, Any]] = {"connect_timeout": "5s", "read_timeout": "20s", "timeout": "10m"}
_RETRY: Final[dict[str, Any]] = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=15),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
"""A hiccup is over then; what lasts longer is waited for without holding a batch."""


def open_store(scheme: str, bucket: str, prefix: str) -> "Store":
    """Open a store by the environment; the same one for the same environment, as it keeps its connections."""
    begin = PREFIXES[scheme]
    said = {name: value for name, value in os.environ.items() if name.startswith(begin)}
    return _opened(scheme, bucket, prefix, frozenset(said.items()))


@lru_cache(maxsize=8)
def _opened(scheme: str, bucket: str, prefix: str, said: frozenset[tuple[str, str]]) -> "Store":
    from obstore import store  # noqa: PLC0415  # a tenth of a second that folders need not pay

    kinds: dict[str, type[Store]] = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}
    plain = dict(said).get(f"{PREFIXES[scheme]}ALLOW_HTTP", "").casefold() in {"true", "1"}
    options: dict[str, Any] = {"client_options": _CLIENT | {"allow_http": plain}, "retry_config": _RETRY}
    return kinds[scheme](bucket, prefix=prefix or None, **options)


class Outline(NamedTuple):
    """An error of a store: the status and the code of its answer, and what it says in words of ours.

    `permanent`: no waiting mends it, unless it went well before.
    """

    status: int | None
    code: str
    what: str
    permanent: bool

    @property
    def answered(self) -> str:
        """The store's own answer."""
        return " ".join(map(str, filter(None, (self.status, self.code))))


# Line ends cannot come from a name or from an answer, in which the library writes them as \\n.
_STATUS: Final = re.compile(r"status: (\d{3}),\n")
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
_ADDRESS: Final = re.compile(r"\bhttps?://([^/\s]*)\S*")
_OVERLOADED: Final = {408, 429}

_NO_CREDENTIALS: Final = (
    "there are no credentials for it, neither in the environment nor from this machine; see "
    "docs/object-stores.md"
)
_METADATA: Final = {"169.254.169.254", "169.254.170.2", "metadata.google.internal"}
"""Where a machine in a cloud gets its credentials."""

_BROKEN: Final[dict[str, tuple[str, bool]]] = {
    "certificate|UnknownIssuer": (
        "its certificate is of no authority that this machine knows; SSL_CERT_FILE names another's file",
        True,
    ),
    "BadScheme": ("it is asked over plain http only where {begin}ALLOW_HTTP=true says so", True),
    "redirect": ("it sends its readers elsewhere; see {begin}REGION and {begin}ENDPOINT_URL", True),
    "redential|token request": (_NO_CREDENTIALS, True),
    "Account must be specified": ("AZURE_STORAGE_ACCOUNT_NAME is not set", True),
    "dns error": ("the name of its server is not known", False),
    "ConnectionRefused": ("its server refuses connections", False),
    "Timeout|TimedOut": ("it does not answer in time", False),
    "HttpError|IncompleteMessage|body": ("the connection to it breaks", False),
}
"""What errors without an answer of the store's mean, and whether for good."""


def outline(error: Exception, scheme: str) -> Outline:
    """Say what an error of a store's library means."""
    text, begin = str(error), PREFIXES[scheme]
    found, asked = _STATUS.search(text), _ADDRESS.search(text)
    if asked and asked[1] in _METADATA:
        return Outline(None, "", _NO_CREDENTIALS, permanent=True)
    if not found:
        text = _ADDRESS.sub("", text)
        for pattern, (what, permanent) in _BROKEN.items():
            if re.search(pattern, text):
                return Outline(None, "", what.format(begin=begin), permanent)
        return Outline(None, "", f"it cannot be read now ({type(error).__name__})", permanent=False)
    status, coded = int(found[1]), _CODE.search(text, found.end())
    said = Outline(status, coded[1] if coded else "", "", permanent=False)
    if status == HTTPStatus.NOT_FOUND:
        what = f"there is no such {'container' if scheme == 'az' else 'bucket'}"
        return said._replace(what=what, permanent=True)
    if status in _OVERLOADED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return said._replace(what=f"it is overloaded or fails ({said.answered})")
    what = f"it refuses the credentials, or does not let them list it ({said.answered})"
    return said._replace(what=what, permanent=True)


def is_odd_key(error: Exception) -> bool:
    """Return whether a listing failed at a key that the library cannot name, such as one with `//`."""
    return type(error).__name__ == "InvalidPathError"


def redirected_to(store: "Store") -> str | None:
    """Return the host that a store sends its readers to, None where it answers by itself.

    The library would follow, hand over a session's token, and take what it finds there for the archive's.
    """
    import obstore  # noqa: PLC0415

    with suppress(Exception):  # who cannot sign, or is away: reading says what is wrong
        url = urlsplit(obstore.sign(store, "GET", NOTHING, timedelta(minutes=1)))
        host = url.hostname or ""
        if url.scheme == "https":
            context = ssl.create_default_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, url.port, timeout=_ANSWER_SECONDS, context=context
            )
        else:
            connection = http.client.HTTPConnection(host, url.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", f"{url.path}?{url.query}")
            answer = connection.getresponse()
        finally:
            connection.close()
        to = urlsplit(answer.getheader("Location", ""))
        if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST and to.netloc not in {
            "",
            url.netloc,
        }:
            return to.hostname
    return None
