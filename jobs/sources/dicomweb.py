"""Images in a PACS, by DICOMweb: named as its own paths name them, studies/…/series/…/instances/…."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from config.content import Content
from config.failures import ImageUnusableError, Reason
from config.settings import load_settings
from jobs.dicomweb.service import (
    BadAnswerError,
    DicomWeb,
    FailingError,
    ForbiddenError,
    JsonDataset,
    NotFoundError,
    TooLargeError,
)
from jobs.errors import AwayError, SourceError
from jobs.sources.lasting import LastingFaults
from jobs.sources.lookup import Lookup
from jobs.sources.parts import bounded_parts

_SERIES: Final = re.compile(r"studies/([0-9.]{1,64})/series/([0-9.]{1,64})", re.ASCII)
"""The path of all instances of a series, which is a volume (PS3.18 table 10.3-1)."""

NAME: Final = re.compile(rf"{_SERIES.pattern}/instances/([0-9.]{{1,64}})", re.ASCII)
"""An instance's path below the service's root."""

THREADS: Final = 8
"""Requests at a time: more of them do not make a usual PACS any faster, and others use it, too."""

_SAMPLE: Final = 400
"""Studies that are asked for before a night."""

_TAG_BYTES: Final = 16
_PART_BYTES: Final = 1 << 20
_SOP_INSTANCE_UID: Final = "00080018"
_SERIES_INSTANCE_UID: Final = "0020000E"


class DicomWebSource:
    """The instances that a DICOMweb service has; safe to use by many threads at once."""

    only_dicom = True
    readers: Final = THREADS

    def __init__(self, root: str) -> None:
        """Take the root; credentials are the settings'. `require` asks whether it is there."""
        self._service = DicomWeb(root, load_settings())
        self.root = self._service.root
        self._lasting = LastingFaults()

    def require(self) -> None:
        """Raise SourceError or SourceAwayError unless the service answers."""
        try:
            self._service.require()
        except NotFoundError:
            raise SourceError(f"{self.root}: there is no DICOMweb service (status 404)") from None

    def look_up(self, names: Collection[str]) -> Lookup:
        """Find the names that no instance and no series has; of many studies a sample is asked for."""
        studies: dict[str, list[str]] = defaultdict(list)
        missing: list[str] = []
        for name in names:
            if match := NAME.fullmatch(name) or _SERIES.fullmatch(name):
                studies[match[1]].append(name)
            else:
                missing.append(name)
        sample = [*studies][:: -(-len(studies) // _SAMPLE) or 1]
        with ThreadPoolExecutor(THREADS) as pool:
            for study, there in zip(sample, pool.map(self._known, sample), strict=True):
                missing += [name for name in studies[study] if name.rpartition("/")[2] not in there]
        form = (
            "an image is named studies/UID/series/UID/instances/UID, as `nightread manifest` does it, and a "
            "volume studies/UID/series/UID"
        )
        return Lookup(missing, form if missing and not studies else "")

    def _known(self, study: str) -> set[str]:
        """Return the UIDs of a study's series and instances."""
        try:
            found = list(self._service.search(f"studies/{study}/instances"))
        except NotFoundError:
            return set()
        return {*_uids(found, _SERIES_INSTANCE_UID), *_uids(found, _SOP_INSTANCE_UID)}

    def parts(self, name: str) -> Sequence[str]:
        """Return the instances of a series; see ImageSource."""
        if _SERIES.fullmatch(name) is None:
            return (name,)
        instances = f"{name}/instances"
        try:
            found = self._service.search(instances)
            return bounded_parts(f"{instances}/{uid}" for uid in _uids(found, _SOP_INSTANCE_UID))
        except NotFoundError:
            raise ImageUnusableError(Reason.MISSING, "the service has no such series") from None

    def read(self, name: str, max_bytes: int) -> Content:
        """Get one instance's file. Its tag is a hash of it, as services do not say whether it is the same."""
        if NAME.fullmatch(name) is None:
            raise ImageUnusableError(Reason.MISSING, "no instance can have such a name")
        try:
            content = self._service.retrieve(name, max_bytes)
        except FailingError as error:
            self._lasting.refuse(name, str(error), self._gives)
            raise
        except NotFoundError:
            raise ImageUnusableError(Reason.MISSING, "the service has no such instance") from None
        except ForbiddenError:
            raise ImageUnusableError(Reason.UNREADABLE, "the service refuses it (status 403)") from None
        except TooLargeError:
            raise ImageUnusableError(Reason.TOO_LARGE, f"it has more than {max_bytes:,} bytes") from None
        except BadAnswerError as error:
            raise ImageUnusableError(Reason.TRUNCATED, str(error)) from None
        self._lasting.given(name)
        if not content:
            raise ImageUnusableError(Reason.EMPTY, "the file has 0 bytes")
        return Content(content, hashlib.blake2b(content, digest_size=_TAG_BYTES).hexdigest())

    def tag(self, name: str) -> str | None:
        """Return None: the tag is a hash of the file, which nobody tells but the file."""

    def _gives(self, name: str) -> bool:
        """Return whether an instance can be read now; of a large one a part is enough."""
        try:
            self._service.retrieve(name, _PART_BYTES)
        except TooLargeError:
            return True
        except (BadAnswerError, ForbiddenError, NotFoundError, AwayError, SourceError):
            return False
        return True


def _uids(found: Iterable[JsonDataset], tag: str) -> Iterable[str]:
    for dataset in found:
        yield from map(str, dataset.get(tag, {}).get("Value") or ())
