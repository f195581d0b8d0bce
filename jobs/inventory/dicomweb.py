"""From a search in a PACS to what its manifest has and what it has not."""

import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

from jobs.dicomweb.service import DicomWeb, JsonDataset, NotFoundError
from jobs.errors import InputError, SourceError
from jobs.inventory.film import UID, Film, described
from jobs.inventory.header import header_of_json
from jobs.inventory.inventory import Choice, Inventory, chosen
from jobs.inventory.selection import MODALITIES
from jobs.inventory.skips import Skip, Skipped

DAY: Final = re.compile(r"today|yesterday|([1-9][0-9]{0,4})d|\d{4}-\d\d-\d\d", re.ASCII)
"""The forms of a day."""

_STUDY: Final = "0020000D"
_SERIES: Final = "0020000E"
_INSTANCE: Final = "00080018"
_MODALITY: Final = "00080060"


class SearchError(InputError):
    """What is to be searched for cannot be understood; the message names the option."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which studies are asked for: those of the days from `since` to `until` with a series of a modality."""

    since: date | None = None
    until: date | None = None
    modalities: Collection[str] = ("CR", "DX")

    @property
    def study_date(self) -> str:
        """The days as a search has them (PS3.4 C.2.2.2.5.1), blank for all."""
        days = [f"{day:%Y%m%d}" if day else "" for day in (self.since, self.until)]
        return "-".join(days) if any(days) else ""


def day_of(text: str, today: date, option: str) -> date:
    """Return the day that a person means: today, yesterday, 7d (ago), or 2026-11-27; raises SearchError."""
    form = DAY.fullmatch(text)
    try:
        if form and form[1]:
            return today - timedelta(days=int(form[1]))
        if form:
            ago = {"today": 0, "yesterday": 1}.get(text)
            return date.fromisoformat(text) if ago is None else today - timedelta(days=ago)
    except (ValueError, OverflowError):
        pass
    raise SearchError(
        f"{option}: {text!r} is no day; write one such as 2026-11-27, yesterday, or 7d: 7 days ago"
    )


def modalities_of(text: str) -> tuple[str, ...]:
    """Return the modalities of a list such as CR,DX; raises SearchError for one that DICOM does not have."""
    words = tuple(dict.fromkeys(word.strip().upper() for word in text.split(",")))
    for word in words:
        if word not in MODALITIES:
            raise SearchError(f"--modality: {word!r} is no modality of DICOM; radiographs are CR or DX")
    return words


def search_inventory(
    service: DicomWeb,
    search: Search,
    choice: Choice,
    threads: int,
    found: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda _, __: None,
) -> Inventory:
    """Look into the headers of all instances that a search finds; no pixels are fetched.

    `found` is called with the number of studies found so far, then `looked` with how many of them have been
    looked into, and with all. What was removed meanwhile was not found. Raises SourceError or
    SourceAwayError.
    """
    studies = _studies(service, search, found)
    files: dict[str, Film | Skipped] = {}  # by name: what arrives meanwhile may be found twice
    with ThreadPoolExecutor(threads) as pool:
        look = partial(_look, service, modalities=search.modalities, choice=choice)
        try:
            for done, of_study in enumerate(pool.map(look, studies), start=1):
                files |= {file.name: file for file in of_study}
                looked(done, len(studies))
        finally:
            pool.shutdown(cancel_futures=True)
    films = [file for _, file in sorted(files.items()) if isinstance(file, Film)]
    skipped = [file for _, file in sorted(files.items()) if isinstance(file, Skipped)]
    return Inventory(service.root, films, skipped)


def _studies(service: DicomWeb, search: Search, found: Callable[[int], None]) -> list[str]:
    studies: dict[str, None] = {}
    for modality in search.modalities:
        matching = {"ModalitiesInStudy": modality}
        if search.study_date:
            matching["StudyDate"] = search.study_date
        try:
            for dataset in service.search("studies", **matching):
                studies[_value(dataset, _STUDY)] = None
                found(len(studies))
        except NotFoundError:
            raise SourceError(f"{service.root}: there is no DICOMweb service (status 404)") from None
    return [*studies]


def _look(
    service: DicomWeb, study: str, *, modalities: Collection[str], choice: Choice
) -> list[Film | Skipped]:
    """Look into a study's series of these modalities."""
    if not UID.fullmatch(study):
        return [Skipped(f"studies/{study}", Skip.BAD_NAME)]
    files: list[Film | Skipped] = []
    try:
        for series in service.search(f"studies/{study}/series"):
            uid = _value(series, _SERIES)
            path = f"studies/{study}/series/{uid}"
            if not UID.fullmatch(uid):
                files.append(Skipped(path, Skip.BAD_NAME))
            elif _value(series, _MODALITY) in modalities:
                files += _described(path, service.metadata(path), choice)
    except NotFoundError:
        return files
    return files


def _described(path: str, datasets: list[JsonDataset], choice: Choice) -> Iterator[Film | Skipped]:
    for dataset in datasets:
        uid = _value(dataset, _INSTANCE)
        name = f"{path}/instances/{uid}"
        if not UID.fullmatch(uid):
            yield Skipped(name, Skip.BAD_NAME)
            continue
        yield chosen(described(name, header_of_json(dataset), any_view=choice.any_view), choice)


def _value(dataset: JsonDataset, tag: str) -> str:
    values: Any = dataset.get(tag, {}).get("Value")
    return str(values[0]) if isinstance(values, list) and values else ""
