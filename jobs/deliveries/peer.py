"""Who gets a run's results: a receiver, how it is named, and what it may answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Final, Protocol, Self

from config.settings import Settings
from jobs.errors import AwayError, InputError
from jobs.kinds.objects import ObjectKind
from jobs.sources.source import is_dicomweb


@dataclass(frozen=True, slots=True)
class DicomObject:
    """A whole DICOM file; `finding`: what it is of, None where it is of all of an image's findings."""

    kind: ObjectKind
    finding: str | None
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said of an object; `status` is for people, and names no patient."""

    taken: bool
    status: str


class PeerError(InputError):
    """A receiver takes nothing from us, or cannot be reached in the way that was asked for."""


class PeerAwayError(AwayError):
    """A receiver does not answer, or cannot take an object now; later it may."""


class Peer(Protocol):
    """A receiver of DICOM objects; used by one thread."""

    target: str
    """Its name in the ledger and in messages, without a secret."""

    def __enter__(self) -> Self:
        """Begin; nothing is asked yet."""

    def __exit__(self, *_: object) -> None:
        """Close what is open."""

    def check(self) -> None:
        """Raise PeerError, PeerAwayError or another error of `jobs` unless it is there and lets us in."""

    def send(self, result: DicomObject) -> Answer:
        """Send one object; raises as `check` does."""


_STORE: Final = re.compile(r"[^@\\\s/]{1,16}@(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

_PEERS: Final[dict[str, str]] = {
    "dicom": "jobs.deliveries.cstore:StorePeer",
    "dicomweb": "jobs.deliveries.stow:StowPeer",
}
"""By what an address looks like; each is loaded with its library when it is used."""


def peer_of(target: str, settings: Settings, *, tls: bool = False) -> Peer:
    """Make the receiver of an address; raises InputError for one that is none. Nothing is asked yet."""
    if is_dicomweb(target):
        if tls:
            raise PeerError("--tls is for TITLE@HOST:PORT; a DICOMweb service is dicomweb+https://")
        kind = "dicomweb"
    elif _STORE.fullmatch(target):
        kind = "dicom"
    else:
        raise PeerError(
            "a receiver is TITLE@HOST:PORT, such as PACS@pacs.example:104, or dicomweb+https://HOST/PATH"
        )
    make: Callable[[str, Settings, bool], Peer] = resolve_name(_PEERS[kind])
    return make(target, settings, tls)
