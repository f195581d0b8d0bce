"""A search in a PACS gives the manifest that its files would give in a folder."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from films import PATIENT, film_of
from http_server import Answer, Request, serving
from orthanc import Orthanc

from config.settings import Settings
from jobs.dicomweb.service import DicomWeb
from jobs.errors import SourceError
from jobs.inventory.dicomweb import Search, SearchError, day_of, modalities_of, search_inventory
from jobs.inventory.film import Film
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.tables import manifest_csv

EVERYTHING, FRONTAL = Search(), Choice()
FILMS: tuple[dict[str, Any], ...] = (
    {"StudyDate": "20261125", "PixelSpacing": None, "ImagerPixelSpacing": ["0.1", "0.15"]},
    {
        "StudyDate": "20261126",
        "Modality": "DX",
        "PatientAge": "011M",
        "PatientSex": "M",
        "ViewPosition": "AP",
    },
    {"StudyDate": "20261126", "ViewPosition": "LL"},
    {
        "StudyDate": "20261127",
        "ViewPosition": None,
        "SeriesDescription": "Thorax p.a.",
        "BurnedInAnnotation": "YES",
    },
    {
        "StudyDate": "20261127",
        "PatientID": "",
        "PatientAge": "unknown",
        "PhotometricInterpretation": "MONOCHROME1",
    },
    {"StudyDate": "20261127", "Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
)


@pytest.fixture
def films(orthanc: Orthanc, tmp_path: Path) -> Path:
    """A folder of films, which are in the PACS, too."""
    for number, film in enumerate(FILMS):
        uids = {"StudyInstanceUID": f"1.2.{number}", "SeriesInstanceUID": f"1.2.{number}.1"}
        content = film_of(**uids | {"SOPInstanceUID": f"1.2.{number}.1.1"} | film)
        (tmp_path / f"IM{number}").write_bytes(content)
        orthanc.store(content)
    return tmp_path


def service(orthanc: Orthanc) -> DicomWeb:
    return DicomWeb(
        orthanc.dicomweb, Settings(dicomweb_user=orthanc.user, dicomweb_password=orthanc.password)
    )


def searched(orthanc: Orthanc, search: Search = EVERYTHING, choice: Choice = FRONTAL) -> Inventory:
    return search_inventory(service(orthanc), search, choice, threads=3)


def studies(inventory: Inventory) -> list[int]:
    return [int(film.study_uid.rpartition(".")[2]) for film in inventory.films]


def test_films_are_described_as_those_of_a_folder(orthanc: Orthanc, films: Path) -> None:
    here, there = take_inventory(films, Choice()), searched(orthanc)
    assert studies(here) == studies(there) == [0, 1, 3, 4]
    # A search does not say how a file is encoded.
    assert [film._replace(name="", transfer_syntax="") for film in here.films] == [
        film._replace(name="", transfer_syntax="") for film in there.films
    ]
    assert there.films[0].name == "studies/1.2.0/series/1.2.0.1/instances/1.2.0.1.1"
    (lateral,) = there.skipped
    assert (lateral.reason, lateral.modality) == (Skip.LATERAL, "CR")
    assert there.root == orthanc.dicomweb


@pytest.mark.usefixtures("films")
def test_no_name_birth_date_or_accession_number_comes_with_them(orthanc: Orthanc) -> None:
    written = manifest_csv(searched(orthanc)).decode()
    secret = {value for keyword, value in PATIENT.items() if keyword != "PatientID"}
    assert not [value for value in secret if value in written]


@pytest.mark.usefixtures("films")
@pytest.mark.parametrize(
    ("search", "expected"),
    [
        (Search(since=date(2026, 11, 26)), [1, 3, 4]),
        (Search(until=date(2026, 11, 26)), [0, 1]),
        (Search(date(2026, 11, 26), date(2026, 11, 26)), [1]),
        (Search(since=date(2026, 11, 28)), []),
        (Search(modalities=("DX",)), [1]),
        (Search(modalities=("MG",)), []),
    ],
)
def test_days_and_modalities_are_asked_for(orthanc: Orthanc, search: Search, expected: list[int]) -> None:
    assert studies(searched(orthanc, search)) == expected


@pytest.mark.usefixtures("films")
def test_the_choice_of_films_is_a_folders(orthanc: Orthanc) -> None:
    assert studies(searched(orthanc, choice=Choice(any_view=True))) == [0, 1, 2, 3, 4]
    clean = searched(orthanc, choice=Choice(skip_burned_in=True))
    assert studies(clean) == [0, 1, 4]
    assert [skip.reason for skip in clean.skipped] == [Skip.LATERAL, Skip.BURNED_IN]
    other = searched(orthanc, Search(modalities=("CT",)))
    assert [(skip.reason, skip.modality) for skip in other.skipped] == [(Skip.OTHER_MODALITY, "CT")]


def test_a_study_of_many_films_and_a_search_of_many_pages(orthanc: Orthanc) -> None:
    for number in range(12):
        uids = {
            "StudyInstanceUID": f"1.2.{number % 4}",
            "SeriesInstanceUID": f"1.2.{number % 4}.{number % 2}",
        }
        orthanc.store(film_of(**uids, SOPInstanceUID=f"1.2.0.0.{number}"))
    counts: list[tuple[int, int]] = []
    inventory = search_inventory(
        service(orthanc), Search(), Choice(), 2, looked=lambda done, of: counts.append((done, of))
    )
    assert len(inventory.films) == 12
    assert counts == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_what_no_name_can_be_made_of_is_skipped_and_counted() -> None:
    uids: dict[str, list[str | None]] = {
        "0020000D": ["../x", "1"],
        "0020000E": ["2", "a b"],
        "00080018": ["3", None, "../../studies"],
    }

    def answer(request: Request) -> Answer:
        tag = {"studies": "0020000D", "series": "0020000E", "metadata": "00080018"}[
            request.path.rpartition("/")[2]
        ]
        values = uids[tag] if request.query.get("offset", "0") == "0" else []
        content = [{tag: {"Value": [value]}, "00080060": {"Value": ["CR"]}} for value in values]
        return Answer(content=str(content).replace("'", '"').replace("None", "null").encode())

    with serving(answer) as host:
        inventory = search_inventory(
            DicomWeb(f"dicomweb+http://{host}", Settings()), Search(modalities=("CR",)), Choice(), threads=1
        )
    assert not [film for film in inventory.films if isinstance(film, Film)]
    reasons = {(skip.name, skip.reason) for skip in inventory.skipped}
    assert reasons == {
        ("studies/../x", Skip.BAD_NAME),
        ("studies/1/series/a b", Skip.BAD_NAME),
        ("studies/1/series/2/instances/3", Skip.UNREADABLE),
        ("studies/1/series/2/instances/None", Skip.BAD_NAME),
        ("studies/1/series/2/instances/../../studies", Skip.BAD_NAME),
    }
    assert all(isinstance(skip, Skipped) for skip in inventory.skipped)


def test_a_study_that_is_removed_meanwhile_was_not_found_and_one_that_is_refused_is_said() -> None:
    def answer(status: int, request: Request) -> Answer:
        if request.path.endswith("/series"):
            return Answer(status)
        first = request.query["offset"] == "0"
        return Answer(content=b'[{"0020000D": {"Value": ["1"]}}]' if first else b"[]")

    def found(status: int) -> Inventory:
        with serving(lambda request: answer(status, request)) as host:
            return search_inventory(DicomWeb(f"dicomweb+http://{host}", Settings()), Search(), Choice(), 1)

    assert found(404).found == 0
    with pytest.raises(SourceError, match="may not search it"):
        found(403)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", date(2026, 3, 1)),
        ("yesterday", date(2026, 2, 28)),
        ("7d", date(2026, 2, 22)),
        ("2026-01-31", date(2026, 1, 31)),
    ],
)
def test_days_are_written_as_people_say_them(text: str, day: date) -> None:
    assert day_of(text, date(2026, 3, 1), "--since") == day


@pytest.mark.parametrize(
    "text", ["", "gestern", "0d", "-1d", "99999d9", "2026-02-30", "20260101", "99999d x", "٣d"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(SearchError, match="--since"):
        day_of(text, date(2026, 3, 1), "--since")


def test_modalities_are_those_of_dicom() -> None:
    assert modalities_of("cr, DX,cr") == ("CR", "DX")
    for text in ("", "CR,", "XRAY", "CR;DX", "*"):
        with pytest.raises(SearchError, match="--modality"):
            modalities_of(text)
