"""A DICOMweb service: what is asked of it by HTTP, and what its answers mean."""

import json
import re
from collections.abc import Iterator, Mapping
from threading import local
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from config.settings import Settings
from jobs.errors import SourceAwayError, SourceError

Element = Mapping[str, Any]
"""An element of a data set in the DICOM JSON model (PS3.18 F.2)."""

JsonDataset = Mapping[str, Element]
"""A data set in that model: eight hexadecimal digits of a tag -> element."""

_JSON: Final = "application/dicom+json"
_FILE: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
"""A file as it is kept: without the last part some services decode its pixels first (PS3.18 8.7.3.5.2)."""

_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 60.0
_PAGE: Final = 500
_BLOCK: Final = 1 << 20
_MOST_JSON: Final = 1 << 28
_FRAME_BYTES: Final = 1 << 12
"""What a multipart message may have besides its one part."""

_PASSING: Final = frozenset({408, 425, 429})
"""Statuses below 500 that pass with time."""

_ABOUT_CONTENT: Final = frozenset({400, 409, 413, 415, 422})
"""Statuses by which a service refuses what it is sent, and not who sends it (PS3.18 10.5.3)."""

_SERVER_ERROR: Final = 500
_REDIRECT: Final = range(300, 400)
_FAILED: Final = "00081198"
_FAILURE_REASON: Final = "00081197"
_DUPLICATE: Final = 0x0111
"""A reason of failure that is none: the service has the object."""

_BOUNDARY: Final = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)


class NotFoundError(Exception):
    """The service has nothing under this path."""


class ForbiddenError(Exception):
    """The service keeps what is under this path from us."""


class FailingError(SourceAwayError):
    """The service answers that it fails (5xx)."""


class TooLargeError(Exception):
    """An answer has more bytes than may be read."""


class BadAnswerError(Exception):
    """An answer is not what DICOMweb says it is; the message quotes nothing of it."""


class DicomWeb:
    """The services below one root; safe to use by many threads at once."""

    def __init__(self, root: str, settings: Settings) -> None:
        """Take a root such as dicomweb+https://pacs.example/dicom-web, without asking anything yet.

        Raises SourceError for one that is none, or that holds a password.
        """
        self._base = _base(root)
        self.root = f"dicomweb+{self._base}"
        self._auth = _auth(settings)
        self._ca = settings.dicomweb_ca
        self._local = local()

    def require(self) -> None:
        """Raise SourceError or SourceAwayError unless the service answers a search."""
        self._json("studies", {"limit": "1"})

    def search(self, path: str, **matching: str) -> Iterator[JsonDataset]:
        """Give all that is found below a path (QIDO-RS), page by page.

        `matching`: values by the keywords of attributes. What arrives meanwhile may come twice. Raises
        SourceError, also where a service begins again with each page, SourceAwayError and NotFoundError.
        """
        offset = 0
        seen: JsonDataset | None = None
        while page := self._json(path, matching | {"limit": str(_PAGE), "offset": str(offset)}):
            if page[0] == seen:
                raise SourceError(
                    f"{self.root}: the service gives the same {len(page):,} results for every page, so that "
                    "the rest cannot be found; ask for less, with --since"
                )
            yield from page
            seen = page[0]
            # Not before an empty page: a service may give fewer at a time than it was asked for.
            offset += len(page)

    def metadata(self, path: str) -> list[JsonDataset]:
        """Return the data sets of the instances below a path, without pixels (WADO-RS)."""
        return self._json(f"{path}/metadata", {})

    def retrieve(self, path: str, max_bytes: int) -> bytes:
        """Return an instance as the file that the service keeps (WADO-RS).

        Raises NotFoundError, ForbiddenError, TooLargeError, BadAnswerError, SourceError or SourceAwayError.
        """
        # Its bytes are compressed already, or are pixels, of which gzip makes little less and takes long.
        headers = {"Accept": _FILE, "Accept-Encoding": "identity"}
        answer = self._get(path, {}, headers)
        content = self._content(answer, max_bytes + _FRAME_BYTES)
        kind = answer.headers.get("Content-Type", "")
        if kind.lower().startswith("multipart/"):
            content = _only_part(content, kind)
        if len(content) > max_bytes:
            raise TooLargeError
        return content

    def store(self, content: bytes, sop_instance_uid: str) -> str | None:
        """Store a DICOM file (STOW-RS); returns why the service does not take it, None if it has it.

        Raises NotFoundError, ForbiddenError, SourceError or SourceAwayError.
        """
        boundary = f"nightread-{sop_instance_uid}"
        headers = {
            "Accept": _JSON,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        }
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + content + f"\r\n--{boundary}--\r\n".encode()
        answer = self._ask("POST", "studies", {}, headers, body)
        return _refusal(answer.status_code, self._content(answer, _MOST_JSON))

    def _json(self, path: str, query: Mapping[str, str]) -> list[JsonDataset]:
        try:
            answer = self._get(path, query, {"Accept": _JSON})
        except ForbiddenError:
            raise SourceError(f"{self.root}: this user may not search it (status 403)") from None
        if answer.status_code == requests.codes.no_content:
            return []
        try:
            content = self._content(answer, _MOST_JSON)
            found = json.loads(content)
        except (ValueError, RecursionError, TooLargeError):
            found = None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise SourceError(
                f"{self.root} answers, but not with DICOM JSON: is it the root of a DICOMweb service?"
            )
        return found

    def _get(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> requests.Response:
        """Return an answer of success, its content not read yet."""
        return self._ask("GET", path, query, headers)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> requests.Response:
        """Return an answer of success or about what was sent, its content not read yet."""
        try:
            answer = self._session().request(
                method,
                f"{self._base}/{path}",
                params=query,
                headers=headers,
                data=body,
                stream=True,
                # Here, as for a session's the environment's REQUESTS_CA_BUNDLE would be taken.
                verify=True if self._ca is None else str(self._ca),
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                # Credentials and patients' films go to and come from the named host, and no other.
                allow_redirects=False,
            )
        except requests.exceptions.SSLError:
            raise SourceError(
                f"{self.root}: its certificate is not signed by {self._ca or 'a public authority'}; name the "
                "file with its authority's certificate in NIGHTREAD_DICOMWEB_CA"
            ) from None
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError):
            raise SourceError(f"{self.root} is no address") from None
        except requests.RequestException as error:
            raise self._away(error) from None
        except OSError:
            raise SourceError(f"NIGHTREAD_DICOMWEB_CA: {self._ca} is no file of certificates") from None
        if answer.ok and answer.status_code not in _REDIRECT:
            return answer
        if body is not None and answer.status_code in _ABOUT_CONTENT:
            return answer
        answer.close()
        raise self._error(answer)

    def _content(self, answer: requests.Response, most: int) -> bytes:
        content = bytearray()
        try:
            with answer:
                for block in answer.iter_content(_BLOCK):
                    content += block
                    if len(content) > most:
                        raise TooLargeError
        except requests.RequestException as error:
            raise self._away(error) from None
        return bytes(content)

    def _away(self, error: requests.RequestException) -> SourceAwayError:
        # Only the kind: the text has the whole URL, in which a search's values are.
        return SourceAwayError(f"{self.root} does not answer ({type(error).__name__})")

    def _error(self, answer: requests.Response) -> Exception:
        status = answer.status_code
        if status in _PASSING or status >= _SERVER_ERROR:
            kind = FailingError if status >= _SERVER_ERROR else SourceAwayError
            return kind(f"{self.root} is not able to answer (status {status})")
        if status in _REDIRECT:
            host = urlsplit(answer.headers.get("Location", "")).netloc or "another path"
            return SourceError(
                f"{self.root} sends us to {host} (status {status}), where nobody has told us to go; if that "
                "is right, name it instead"
            )
        if status == requests.codes.unauthorized:
            return SourceError(
                f"{self.root} refuses the credentials (status 401): set NIGHTREAD_DICOMWEB_TOKEN, or "
                "NIGHTREAD_DICOMWEB_USER and NIGHTREAD_DICOMWEB_PASSWORD"
            )
        if status == requests.codes.forbidden:
            return ForbiddenError()
        if status in {requests.codes.not_found, requests.codes.gone}:
            return NotFoundError()
        return SourceError(f"{self.root} refuses what it is asked (status {status})")

    def _session(self) -> requests.Session:
        """Return the calling thread's session: requests' own is not made for several."""
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.mount("", HTTPAdapter(pool_connections=1, pool_maxsize=1))
            session.auth = self._auth
            self._local.session = session
        return session


class _Bearer(AuthBase):
    """Sends a token, or nothing. Without it requests would send what it finds in ~/.netrc."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _auth(settings: Settings) -> AuthBase:
    if settings.dicomweb_user is None:
        token = settings.dicomweb_token
        return _Bearer(token.get_secret_value() if token else None)
    password = settings.dicomweb_password
    return HTTPBasicAuth(
        settings.dicomweb_user.encode(), (password.get_secret_value() if password else "").encode()
    )


def _refusal(status: int, content: bytes) -> str | None:
    """Return why a service has not stored what it was sent, by its answer; None if it has it."""
    try:
        (failed, *_) = json.loads(content)[_FAILED]["Value"]
        reason = int(failed[_FAILURE_REASON]["Value"][0])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        # It names no object as refused, or does not answer in JSON: its status is what it says.
        return f"status {status}" if status in _ABOUT_CONTENT else None
    return None if reason == _DUPLICATE else f"status {status}, reason 0x{reason:04X}"


def _base(root: str) -> str:
    """Return the URL of a root without its ending slash; SourceError for what is none."""
    scheme, _, rest = root.partition("+")
    try:
        parts = urlsplit(rest)
        _ = parts.port  # raises for one that is none
    except ValueError:
        parts = None
    if scheme != "dicomweb" or parts is None or parts.scheme not in {"https", "http"} or not parts.hostname:
        raise SourceError(
            "the address of a DICOMweb service is dicomweb+https://HOST/PATH, such as "
            "dicomweb+https://pacs.example/dicom-web"
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        # Not shown: it may hold a password.
        raise SourceError(
            "the address of a DICOMweb service holds no user, password or query, as it is kept with the run: "
            "set NIGHTREAD_DICOMWEB_TOKEN, or NIGHTREAD_DICOMWEB_USER and NIGHTREAD_DICOMWEB_PASSWORD"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _only_part(content: bytes, kind: str) -> bytes:
    """Return the one part of a multipart message (RFC 2046 5.1.1)."""
    boundary = _BOUNDARY.search(kind)
    if boundary is None:
        raise BadAnswerError("the answer's parts are not told apart")
    line = b"--" + boundary[1].strip().encode("latin-1")
    start = content.find(b"\r\n\r\n", content.find(line))
    end = content.rfind(b"\r\n" + line + b"--")
    if not content.startswith((line, b"\r\n" + line)) or start < 0 or end < start:
        raise BadAnswerError("the answer ends before its file does")
    return content[start + 4 : end]
