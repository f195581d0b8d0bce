"""`nightread send`: results go into a real PACS by C-STORE and STOW-RS, and each object goes once."""

import io
import random
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from orthanc import Orthanc
from pydicom import Dataset, dcmread
from results_support import COMPLETE, complete_film, small
from series_support import uid_of, write_series
from sqlalchemy import text
from support import Nightread, close_run, eventually, make_run, score_batches
from volume_support import AFFINE, head, segment_cases

pytestmark = pytest.mark.processes

IMAGES = 4


def patient(number: int) -> dict[str, str]:
    return {
        "SOPInstanceUID": f"1.2.3.{number}",
        "SeriesInstanceUID": f"1.2.8.{number}",
        "StudyInstanceUID": f"1.2.9.{number}",
        "PatientID": f"MRNX{number}",
        "PatientName": f"Zyxw{number}^Qvor",
        "AccessionNumber": f"ACCX{number}",
    }


def score_films(nightread: Nightread) -> int:
    """Make a run of the stub model over films in the home, which is its images' folder."""
    for number in range(IMAGES):
        (nightread.home / f"{number:08d}_000.png").write_bytes(complete_film(**patient(number)))
    database = nightread.database()
    run_id = make_run(database, nightread.home, IMAGES)
    score_batches(database, nightread.home / "models", run_id, small)
    return run_id


def score_series(nightread: Nightread) -> int:
    """Make a run of a pointwise model over series below the home."""
    for number in range(IMAGES):
        write_series(
            nightread.home / "volumes" / f"case{number}",
            head()[..., 0],
            AFFINE,
            study_uid=uid_of("study", number),
            series_uid=uid_of("series", number),
        )
    manifest = "Image\n" + "".join(f"case{number}\n" for number in range(IMAGES))
    return segment_cases(nightread.database(), nightread.home, manifest, channels=["FLAIR"])


@pytest.fixture
def scored(nightread: Nightread) -> Nightread:
    """Run 1, over films."""
    assert nightread.call("db", "upgrade").returncode == 0
    close_run(nightread.database(), score_films(nightread))
    return nightread


@pytest.fixture
def pacs(orthanc: Orthanc, scored: Nightread) -> Orthanc:
    """A PACS that has the films, and lets us in."""
    scored.environment |= orthanc.environment
    orthanc.store(*(path.read_bytes() for path in sorted(scored.home.glob("*.png"))))
    return orthanc


def results(pacs: Orthanc) -> list[Dataset]:
    """The objects of results that it holds, as it gives them back."""
    found = [dcmread(io.BytesIO(pacs.content(f"/instances/{key}/file"))) for key in pacs.get("/instances")]
    return [dataset for dataset in found if dataset.SOPClassUID != COMPLETE_CLASS]


COMPLETE_CLASS = "1.2.840.10008.5.1.4.1.1.1"
"""Of the films themselves: CR."""


def address(pacs: Orthanc, way: str) -> str:
    return pacs.dicom if way == "C-STORE" else pacs.dicomweb


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_results_stand_in_the_pacs_in_the_studies_of_their_films(
    scored: Nightread, pacs: Orthanc, way: str
) -> None:
    target = address(pacs, way)
    done = scored.call("send", "1", "--to", target)
    assert done.returncode == 0, done.stderr
    rows = scored.sql("SELECT * FROM deliveries")
    assert {row["kind"] for row in rows} == {"dicom-sr", "dicom-gsps"}
    assert {(row["state"], row["target"], row["attempts"]) for row in rows} == {("sent", target, 1)}
    assert f"{target} has {len(rows)} objects of run 1" in done.stdout
    assert "no dicom-sc: model stub has no network" in done.stderr
    kept = results(pacs)
    assert sorted(dataset.SOPInstanceUID for dataset in kept) == sorted(
        row["sop_instance_uid"] for row in rows
    )
    for dataset in kept:
        number = int(dataset.StudyInstanceUID.rpartition(".")[2])
        assert dataset.PatientID == patient(number)["PatientID"]
        assert str(dataset.PatientName) == patient(number)["PatientName"]
        assert dataset.AccessionNumber == patient(number)["AccessionNumber"]
        assert dataset.IssuerOfPatientID == COMPLETE["IssuerOfPatientID"]
    for study in pacs.get("/studies?expand"):
        modalities = {
            pacs.get(f"/series/{series}")["MainDicomTags"]["Modality"] for series in study["Series"]
        }
        assert {"CR", "SR"} <= modalities <= {"CR", "SR", "PR"}
    # What the PACS gives back is what an export writes, element by element.
    exported = scored.home / "reports"
    assert scored.call("export", "1", "--format", "dicom-sr", "-o", exported).returncode == 0
    written = {file.SOPInstanceUID: file for file in map(dcmread, exported.iterdir())}
    for dataset in kept:
        if dataset.Modality == "SR":
            assert dataset == written.pop(dataset.SOPInstanceUID)
    assert written == {}


@pytest.mark.parametrize("way", ["C-STORE", "STOW-RS"])
def test_sent_again_nothing_is_sent(scored: Nightread, pacs: Orthanc, way: str) -> None:
    for _ in range(2):
        done = scored.call("send", "1", "--to", address(pacs, way), "--format", "dicom-sr")
        assert done.returncode == 0, done.stderr
        assert f"has {IMAGES} objects of run 1" in done.stdout
    rows = scored.sql("SELECT attempts FROM deliveries")
    assert [row["attempts"] for row in rows] == [1] * IMAGES
    shown = scored.call("deliveries", "1")
    assert shown.returncode == 0
    assert "dicom-sr" in shown.stdout
    assert scored.call("deliveries", "--json").stdout.count('"objects": 4') == 1


@pytest.mark.parametrize(
    ("score", "kind", "form", "times"),
    [(score_films, "dicom-sr", "{:08d}_000.png", 18), (score_series, "dicom-seg", "case{}", 6)],
    ids=["films", "series"],
)
def test_a_sender_that_is_killed_anywhere_sends_each_object_once(
    scored: Nightread, pacs: Orthanc, score: Callable[[Nightread], int], kind: str, form: str, times: int
) -> None:
    moments = random.Random(11)
    first = score(scored)
    began = time.monotonic()
    assert scored.run("send", str(first), "--to", pacs.dicom, "--format", kind).returncode == 0
    whole = time.monotonic() - began
    images = {form.format(number) for number in range(IMAGES)}
    killed = 0
    for number in range(times):
        target = address(pacs, ("C-STORE", "STOW-RS")[number % 2])
        pacs.empty()
        run_id = score(scored)
        process = scored.start("send", str(run_id), "--to", target)
        try:
            # Not within its first half, in which it loads its libraries.
            process.wait(moments.uniform(0.5, 1.1) * whole)
        except subprocess.TimeoutExpired:  # it has not ended, as is meant
            process.kill()
            process.wait()
            killed += 1
        done = scored.call("send", str(run_id), "--to", target)
        assert done.returncode == 0, done.stderr
        rows = scored.sql(
            f"SELECT image_index, kind, state, sop_instance_uid FROM deliveries WHERE run_id = {run_id}"
        )
        assert {row["state"] for row in rows} == {"sent"}
        assert {row["image_index"] for row in rows if row["kind"] == kind} == images
        kept = sorted(tags["SOPInstanceUID"] for tags in pacs.instances())
        assert kept == sorted(row["sop_instance_uid"] for row in rows)
    assert killed >= times // 2


# --- what cannot be sent -----------------------------------------------------------------------------------


def test_pictures_and_missing_films_cost_only_themselves(scored: Nightread, pacs: Orthanc) -> None:
    (scored.home / "00000001_000.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (scored.home / "00000002_000.png").unlink()
    done = scored.call("send", "1", "--to", pacs.dicom, "--format", "dicom-sr")
    assert done.returncode == 3
    assert "has 2 objects of run 1" in done.stdout
    assert "1 objects are not made, as their images are no DICOM files" in done.stderr
    assert "1 dicom-sr are unusable: missing" in done.stderr
    assert len(results(pacs)) == 2
    (scored.home / "00000002_000.png").write_bytes(complete_film(**patient(2)))
    done = scored.call("send", "1", "--to", pacs.dicom, "--format", "dicom-sr", "--again")
    assert done.returncode == 0, done.stderr
    assert len(results(pacs)) == 3


def test_an_archive_that_is_not_there_is_said_before_anything_is_queued(
    scored: Nightread, pacs: Orthanc
) -> None:
    database = scored.database()
    with database.write() as connection:
        connection.execute(text("UPDATE archive SET root = '/nowhere/there'"))
    done = scored.call("send", "1", "--to", pacs.dicom, "--format", "dicom-sr")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "/nowhere/there" in done.stderr
    assert scored.sql("SELECT * FROM deliveries") == []


def test_nothing_of_a_patient_and_no_secret_is_in_what_is_written(scored: Nightread, pacs: Orthanc) -> None:
    scored.environment["NIGHTREAD_LOG_LEVEL"] = "DEBUG"
    said = ""
    for target in (pacs.dicom, pacs.dicomweb, f"WRONG@127.0.0.1:{pacs.dicom_port}"):
        done = scored.run("send", "1", "--to", target)
        said += done.stdout + done.stderr
    for name in (scored.home / "nightread.db", scored.home / "nightread.db-wal"):
        if name.exists():
            said += name.read_bytes().decode("latin-1")
    words = [pacs.password, *(value for n in range(IMAGES) for value in ("Zyxw", f"MRNX{n}", f"ACCX{n}"))]
    assert [word for word in words if word in said] == []


def wrong_title(pacs: Orthanc) -> tuple[str, dict[str, str], str]:
    return f"WRONG@127.0.0.1:{pacs.dicom_port}", {}, "it is not WRONG; its title may be another"


def wrong_password(pacs: Orthanc) -> tuple[str, dict[str, str], str]:
    return pacs.dicomweb, {"NIGHTREAD_DICOMWEB_PASSWORD": "another"}, "refuses the credentials (status 401)"


@pytest.mark.parametrize("mistake", [wrong_title, wrong_password])
def test_a_mistake_is_said_in_a_line_and_nothing_is_queued(
    scored: Nightread, pacs: Orthanc, mistake: Any
) -> None:
    target, environment, said = mistake(pacs)
    scored.environment |= environment
    done = scored.call("send", "1", "--to", target, "--format", "dicom-sr")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr
    assert scored.sql("SELECT * FROM deliveries") == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("pacs.example:104", "a receiver is TITLE@HOST:PORT"),
        ("PACS@pacs.example:port", "a receiver is TITLE@HOST:PORT"),
        ("https://pacs.example", "a receiver is TITLE@HOST:PORT"),
        ("dicomweb+https://me:secret@pacs.example", "holds no user, password or query"),
    ],
)
def test_an_address_that_is_none_is_said(scored: Nightread, target: str, said: str) -> None:
    done = scored.call("send", "1", "--to", target)
    assert (done.returncode, done.stderr.count("error:")) == (2, 1)
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_a_receiver_that_is_away_is_waited_for(scored: Nightread, pacs: Orthanc) -> None:
    pacs.stop()
    process = scored.start("send", "1", "--to", pacs.dicom, "--format", "dicom-sr")
    try:
        eventually(lambda: "waiting:" in scored.logs(), what="it waits")
        assert process.poll() is None
    finally:
        pacs.start()
    assert scored.ends(process) == 0
    assert len(results(pacs)) == IMAGES


def test_a_receiver_that_stays_away_ends_the_command_and_the_same_command_goes_on(
    scored: Nightread, pacs: Orthanc
) -> None:
    pacs.stop()
    try:
        done = scored.call("send", "1", "--to", pacs.dicom, "--format", "dicom-sr", "--patience", "0")
    finally:
        pacs.start()
    assert done.returncode == 1
    assert "does not answer: Connection refused; the same command goes on where it stopped" in done.stderr
    done = scored.call("send", "1", "--to", pacs.dicom, "--format", "dicom-sr")
    assert done.returncode == 0, done.stderr
