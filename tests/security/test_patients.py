"""What files say about a person stays in them: seeded names are looked for in all that is written.

The archive is of fifty films with names, identifiers, birth dates and accession numbers of their own, some of
them damaged so that a DICOM reader has something to say about their values.
"""

import base64
import random
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import film_of
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sqlalchemy import text
from support import Nightread, eventually, free_port

pytestmark = pytest.mark.processes

FILMS = 50
PASSWORD = "night-reader"


def person(number: int) -> dict[str, str]:
    """A person whose words occur nowhere else."""
    day = random.Random(number).randrange(10, 29)
    return {
        "PatientName": f"Zyxwnam{number:03d}^Qvorgiven{number:03d}",
        "PatientID": f"MRNX{number:05d}Q",
        "PatientBirthDate": f"19{number:02d}11{day}",
        "AccessionNumber": f"ACCX{number:05d}Q",
        "OtherPatientIDs": f"OTHX{number:05d}Q",
        "ReferringPhysicianName": f"Zyxwdoc{number:03d}",
        "PatientComments": f"Zyxwcomment{number:03d}",
    }


def needles(number: int) -> list[bytes]:
    return [part.encode() for value in person(number).values() for part in value.split("^")]


NEEDLES = [needle for number in range(FILMS) for needle in needles(number)]


def damaged(number: int, content: bytes) -> bytes:
    """Damage a film in one of a few ways, most of them in a value that a reader would quote."""
    name = person(number)["PatientName"].encode()
    ways = [
        lambda: content,
        lambda: content.replace(b"060Y", name[:4]),  # an age that is a name
        lambda: content.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00DS"),  # rows that are no number
        lambda: content.replace(b"ISO_IR 100", b"ISO_IR \xff99"),  # a character set that there is not
        lambda: content[: len(content) // 2],  # a picture that ends early
        lambda: content[: content.index(name) + 40],  # a header that does
        lambda: content.replace(b"PN", b"IS", 1),  # a name that should be a number
        lambda: content.replace(b"0.2\\0.1", b"Zyxwnam"),  # a spacing that is a name
        lambda: content.replace(b"MONOCHROME2", b"MONOZyxwnam"),
        lambda: content.replace(b"LO", b"\xffO", 1),  # no kind of value
        lambda: content.replace(b"1.2.840.10008.1.2.1\0", name[:20]),  # no transfer syntax
    ]
    return ways[number % len(ways)]()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Films with something to see, since those of one grey fail."""
    folder = tmp_path / "archive"
    folder.mkdir()
    pixels = np.random.default_rng(7).integers(0, 256, (64, 64), dtype=np.uint8)
    facts: dict[str, Any] = {"Rows": 64, "Columns": 64, "PixelData": pixels.tobytes()}
    facts |= {"SpecificCharacterSet": "ISO_IR 100", "StudyDescription": "Zyxwcomment", "WindowWidth": 255}
    for number in range(FILMS):
        syntax = (DeflatedExplicitVRLittleEndian,) if number == 44 else ()
        content = film_of(
            *syntax, **facts, **person(number), SOPInstanceUID=f"1.2.{number}", WindowCenter=128
        )
        (folder / f"IM{number:02d}").write_bytes(damaged(number, content))
    return folder


def hits(content: bytes) -> list[bytes]:
    return [needle for needle in [*NEEDLES, b"Zyxw", b"Qvor"] if needle in content]


def test_the_films_do_have_what_is_looked_for(archive: Path) -> None:
    assert all(b"Zyxw" in path.read_bytes() for path in archive.iterdir() if path.name != "IM44")


@pytest.mark.timeout(600)
def test_no_word_about_a_person_is_in_anything_that_is_written(
    nightread: Nightread, archive: Path, tmp_path: Path
) -> None:
    nightread.environment |= {"NIGHTREAD_LOG_LEVEL": "DEBUG", "NIGHTREAD_CHILDREN": "1"}
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    said = b""
    for arguments in (
        ("manifest", archive, "-o", outputs / "films.csv", "--view", "all"),
        ("score", archive, "--heatmaps", "all"),
        ("failures", "1", "--names", "50"),
        ("status", "1", "--json"),
        ("report", "1", "-o", outputs / "report.html"),
        ("export", "1", "--format", "csv", "-o", outputs / "scores.csv"),
        ("export", "1", "--what", "failures", "-o", outputs / "failures.csv"),
        ("export", "1", "--format", "parquet", "-o", outputs / "scores.parquet"),
        ("sql", "SELECT * FROM scores", "--json"),
    ):
        done = nightread.run(*arguments)
        assert done.returncode in {0, 3}, done.stderr
        assert "Traceback" not in done.stderr
        said += done.stdout.encode() + done.stderr.encode()
    scored, failed = (
        nightread.sql(f"SELECT COUNT(DISTINCT image_index) AS images FROM {view}")[0]["images"]
        for view in ("scores", "failures")
    )
    # It is worth looking only where films of both kinds have gone all the way.
    assert scored >= 20
    assert failed >= 5
    files = [path for folder in (nightread.home, outputs) for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".db", ".log", ".html", ".csv", ".parquet", ".jpg"}
    assert {str(path): found for path in files if (found := hits(path.read_bytes()))} == {}
    assert hits(said) == []
    patients = {row["patient_id"] for row in nightread.sql("SELECT DISTINCT patient_id FROM scores")}
    assert len(patients) == scored


@pytest.fixture
def flower(cluster: Nightread) -> str:
    """The address of a Flower that has seen a worker."""
    port = free_port()
    cluster.environment |= {"NIGHTREAD_FLOWER_PASSWORD": PASSWORD, "NIGHTREAD_LOG_LEVEL": "DEBUG"}
    cluster.start("worker", "--model", "stub", "--children", "1")
    cluster.start("flower", "--port", str(port))
    page = f"http://127.0.0.1:{port}"
    eventually(lambda: "nightread" in ask(f"{page}/api/workers?refresh=1"), what="Flower knows the worker")
    return page


def ask(url: str) -> str:
    credentials = base64.b64encode(f"nightread:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own server
            page: str = answer.read().decode()
            return page
    except OSError:
        return ""


def test_no_word_about_a_person_reaches_the_servers_or_flower(
    cluster: Nightread, flower: str, archive: Path
) -> None:
    done = cluster.run("score", archive, "--model", "stub", "--batch-size", "4")
    assert done.returncode == 0, done.stderr + cluster.logs()
    eventually(lambda: ask(f"{flower}/api/tasks?state=SUCCESS").count("nightread.score_batch") >= 5)
    pages = [ask(f"{flower}{path}") for path in ("/tasks", "/workers", "/api/tasks", "/api/workers")]
    assert "batch 1/" in pages[2]
    assert hits("".join(pages).encode()) == []
    with cluster.database().read() as connection:
        tables = connection.execute(
            text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        ).scalars()
        for table in tables.all():
            rows = connection.execute(text(f'SELECT CAST(t AS TEXT) FROM "{table}" AS t')).scalars()
            assert hits("\n".join(rows).encode()) == [], table
    assert hits(cluster.logs().encode() + done.stderr.encode() + done.stdout.encode()) == []
