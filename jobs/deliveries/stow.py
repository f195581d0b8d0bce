"""A receiver by STOW-RS: a DICOMweb service, with the credentials that searches in it have."""

from contextlib import suppress
from typing import Self

from config.settings import Settings
from jobs.deliveries.peer import Answer, DicomObject, PeerError
from jobs.dicomweb.service import DicomWeb, ForbiddenError, NotFoundError


class StowPeer:
    """A DICOMweb service that takes objects."""

    def __init__(self, target: str, settings: Settings, _tls: bool) -> None:
        """Take the service's root, dicomweb+https://HOST/PATH."""
        self._service = DicomWeb(target, settings)
        self.target = self._service.root

    def __enter__(self) -> Self:
        """Begin; nothing is asked yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave; connections are the service's own."""

    def check(self) -> None:
        """Ask for a search: a service that has none answers all the same."""
        with suppress(NotFoundError):
            self._service.require()

    def send(self, result: DicomObject) -> Answer:
        """Send one object in a request of its own."""
        try:
            refusal = self._service.store(result.content, result.sop_instance_uid)
        except ForbiddenError:
            raise PeerError(f"{self.target}: this user may not store in it (status 403)") from None
        except NotFoundError:
            raise PeerError(f"{self.target} takes no objects: it has no STOW-RS (status 404)") from None
        return Answer(taken=refusal is None, status=refusal or "200")
