"""A DICOM file's header as pydicom reads it, bounded, and none of its values in an error or a warning."""

import io
import struct
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from config.dicom import silence_pydicom
from config.failures import ImageUnusableError
from jobs.errors import JobsError
from jobs.inventory.bounded import MOST_BYTES, BoundedFile

silence_pydicom()

_READ: Final = (
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PresentationIntentType",
    "SeriesDescription",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "ContrastBolusAgent",
    "BodyPartExamined",
    "ProtocolName",
    "ViewPosition",
    "ImagerPixelSpacing",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientOrientation",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BurnedInAnnotation",
)
"""All that is read of a file. No name, birth date or accession number is among them."""

_VIEW_CODES: Final = Tag("ViewCodeSequence")
_CODE_VALUE: Final = Tag("CodeValue")
_AVAILABLE_TRANSFER_SYNTAX: Final = Tag("AvailableTransferSyntaxUID")
_TAGS: Final = tuple((Tag(keyword), keyword) for keyword in _READ)
_WANTED: Final = (*(tag for tag, _ in _TAGS), _VIEW_CODES)
_LAST_GROUP: Final = 0x0054

_META_GROUP_LENGTH: Final = struct.Struct("<132xHH2sHL")
HEAD: Final = 4096
"""Bytes from the start in which a file's meta information is."""

_MOST_OF_ELEMENT: Final = 1 << 14
"""Bytes of an element that is understood; each number or item of a longer one would take its time."""


class HeaderError(Exception):
    """A DICOM header that cannot be read; without a text, as pydicom's quotes the file."""


@dataclass(frozen=True, slots=True)
class Header:
    """The elements of a header that are read, by their keywords; one that cannot be understood is absent.

    `values`: an element's values without blanks around them. `view_codes`: those of the View Code Sequence.
    """

    values: Mapping[str, Sequence[str]]
    view_codes: Sequence[str]
    transfer_syntax: str

    def texts(self, keyword: str) -> Sequence[str]:
        """Return the values of an element, none where it is absent."""
        return self.values[keyword]

    def word(self, keyword: str) -> str:
        """Return the first value of an element in upper case, blank where there is none."""
        return next(iter(self.texts(keyword)), "").upper()

    def number(self, keyword: str) -> int | None:
        """Return an element's value as a whole number, None where it is none."""
        value = self.word(keyword)
        return int(value) if value.isascii() and value.isdigit() else None


def is_deflated(head: bytes) -> bool:
    """Return whether a DICOM file's data set is deflated, by its first bytes."""
    return DeflatedExplicitVRLittleEndian.encode() in head


def is_directory(head: bytes) -> bool:
    """Return whether a DICOM file is a DICOMDIR, by its first bytes."""
    return MediaStorageDirectoryStorage.encode() in head


def read_header(file: BinaryIO) -> Header:
    """Read the header of a DICOM file from its beginning; raises HeaderError, or what the file raises."""
    try:
        with warnings.catch_warnings(action="ignore"):
            head = file.read(HEAD)
            file.seek(0)
            if is_deflated(head):
                return _header(_inflated(file, head), DeflatedExplicitVRLittleEndian)
            bounded = cast(BinaryIO, BoundedFile(file))
            found = read_partial(bounded, _is_behind, specific_tags=[*_WANTED])
            return _header(found, str(found.file_meta.get("TransferSyntaxUID", "")))
    except (OSError, JobsError, ImageUnusableError):
        raise
    except Exception:  # noqa: BLE001  # damage makes pydicom raise anything; its texts quote the file
        raise HeaderError from None


def header_of_json(dataset: Mapping[str, Any]) -> Header:
    """Return the header of a data set in the DICOM JSON model (PS3.18 F.2), as a service gives it."""
    texts = {keyword: [*map(str, _json_values(dataset, tag))] for tag, keyword in _TAGS}
    views = [item for item in _json_values(dataset, _VIEW_CODES) if isinstance(item, Mapping)]
    codes = [str(code) for item in views for code in _json_values(item, _CODE_VALUE)]
    syntax = next(iter(_json_values(dataset, _AVAILABLE_TRANSFER_SYNTAX)), "")
    stripped = {keyword: [text.strip(" \0") for text in of] for keyword, of in texts.items()}
    return Header(stripped, codes, str(syntax))


def _json_values(dataset: Mapping[str, Any], tag: BaseTag) -> Sequence[object]:
    element = dataset.get(f"{tag:08X}")
    values = element.get("Value") if isinstance(element, Mapping) else None
    return [value for value in values if value is not None] if isinstance(values, list) else ()


def _header(dataset: Dataset, transfer_syntax: str) -> Header:
    texts = {keyword: [str(value).strip(" \0") for value in _values(dataset, tag)] for tag, keyword in _TAGS}
    views = [item for item in _values(dataset, _VIEW_CODES) if isinstance(item, Dataset)]
    return Header(
        texts, [str(code) for item in views for code in _values(item, _CODE_VALUE)], transfer_syntax
    )


def _values(dataset: Dataset, tag: BaseTag) -> Sequence[object]:
    if tag not in dataset:
        return ()
    element = dataset.get_item(tag)
    if isinstance(element, RawDataElement) and element.length > _MOST_OF_ELEMENT:
        return ()
    try:
        value: object = dataset[tag].value
    except Exception:  # noqa: BLE001  # as in read_header
        return ()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return value
    return () if value is None else (value,)


def _inflated(file: BinaryIO, head: bytes) -> Dataset:
    """Read a deflated data set's beginning; pydicom would inflate all of it, however much that is."""
    group, element, kind, _, length = _META_GROUP_LENGTH.unpack_from(head)
    if (group, element, kind) != (2, 0, b"UL"):
        raise HeaderError
    file.seek(_META_GROUP_LENGTH.size + length)
    content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(MOST_BYTES), MOST_BYTES)
    bounded = cast(BinaryIO, BoundedFile(io.BytesIO(content)))
    return read_dataset(bounded, False, True, stop_when=_is_behind, specific_tags=[*_WANTED])


def _is_behind(tag: BaseTag, _: str | None, __: int) -> bool:
    return tag.group > _LAST_GROUP
