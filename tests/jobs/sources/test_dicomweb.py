"""A PACS as a source of images: files come out of Orthanc as they went in; its faults are no image's."""

from pathlib import Path

import pytest
from films import film_of
from http_server import Answer, serving
from orthanc import Orthanc

from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.source import ImageSource, open_source

NAME = "studies/1.2.3/series/1.2.3.1/instances/1.2.3.4"


@pytest.fixture
def source(orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch) -> ImageSource:
    """Orthanc with one film, and its credentials in the environment."""
    for name, value in orthanc.environment.items():
        monkeypatch.setenv(name, value)
    orthanc.store(film_of())
    return open_source(orthanc.dicomweb)


def failure(source: ImageSource, name: str, max_bytes: int = 1 << 20) -> Reason:
    with pytest.raises(ImageUnusableError) as failed:
        source.read(name, max_bytes)
    return failed.value.reason


def test_an_instance_is_read_as_it_was_stored(source: ImageSource) -> None:
    source.require()
    assert source.read(NAME, len(film_of())).data == film_of()


def test_a_real_film_is_read_as_it_was_stored(source: ImageSource, orthanc: Orthanc, real_data: Path) -> None:
    content = (real_data / "dicom" / "chest_monochrome1_15bit_jpeg2000.dcm").read_bytes()
    orthanc.store(content)
    uid = "1.3.6.1.4.1.5962.1.{}.20040826185059.5457"
    name = f"studies/{uid.format('2.9')}/series/{uid.format('3.9.1')}/instances/{uid.format('1.9.1.3')}"
    assert source.read(name, 1 << 24).data == content


def test_an_image_that_is_not_there_or_too_large_fails_by_itself(source: ImageSource) -> None:
    assert failure(source, f"{NAME}.5") == Reason.MISSING
    assert failure(source, NAME, len(film_of()) - 1) == Reason.TOO_LARGE


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "a.png",
            "..",
            "/etc/passwd",
            f"{NAME}/",
            f"/{NAME}",
            f"{NAME}/frames/1",
            f"{NAME}?x=1",
            f"{NAME}\n",
        ),
        *(
            f"{NAME}/../../../../../instances",
            NAME.replace("1.2.3.4", "%2e%2e"),
            NAME.replace("1.2.3.4", "1" * 65),
        ),
        "http://elsewhere/studies/1/series/1/instances/1",
        NAME.replace("4", "\u0664"),
    ],
)
def test_a_name_that_is_no_instances_is_asked_of_nobody(name: str) -> None:
    assert failure(open_source("dicomweb+http://127.0.0.1:1/dicom-web"), name) == Reason.MISSING


def test_names_are_looked_up_in_the_service(source: ImageSource) -> None:
    wrong = [f"{NAME}.5", "a.png", NAME.replace("1.2.3/", "1.2.99/")]
    lookup = source.look_up([NAME, *wrong])
    assert sorted(lookup.missing) == sorted(wrong)
    assert source.look_up([NAME]).missing == []
    assert "studies/UID" in source.look_up(["a.png"]).hint


def test_a_series_stands_for_its_instances(source: ImageSource) -> None:
    series = NAME.partition("/instances/")[0]
    assert source.parts(series) == [NAME]
    assert source.parts(NAME) == (NAME,)
    assert source.look_up([series, f"{series}.5", NAME]).missing == [f"{series}.5"]
    with pytest.raises(ImageUnusableError):
        source.parts(f"{series}.5")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(Answer(403), Reason.UNREADABLE), (Answer(200), Reason.EMPTY), (Answer(410), Reason.MISSING)],
)
def test_what_a_service_refuses_of_one_image_is_that_images(answer: Answer, reason: Reason) -> None:
    with serving(lambda _: answer) as host:
        assert failure(open_source(f"dicomweb+http://{host}/x"), NAME) == reason


@pytest.mark.parametrize("status", [302, 400, 401, 429, 500, 503])
def test_what_a_service_refuses_of_all_images_is_waited_for(status: int) -> None:
    with serving(lambda _: Answer(status)) as host, pytest.raises((SourceAwayError, SourceError)):
        open_source(f"dicomweb+http://{host}/x").read(NAME, 1 << 20)


def test_a_root_below_which_there_is_no_service_is_refused(source: ImageSource) -> None:
    with pytest.raises(SourceError, match="there is no DICOMweb service"):
        open_source(source.root.replace("dicom-web", "nothing")).require()


def test_wrong_credentials_are_said_at_once(source: ImageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_DICOMWEB_PASSWORD", "not-this-one")
    with pytest.raises(SourceError, match="refuses the credentials") as refused:
        open_source(source.root).require()
    assert "not-this-one" not in str(refused.value)


def test_an_instance_at_which_a_service_fails_for_good_fails_by_itself_while_others_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("jobs.sources.lasting.time.monotonic", lambda: now)
    good, bad = (f"studies/1/series/2/instances/{number}" for number in (3, 4))
    with serving(lambda asked: Answer(500) if asked.path.endswith("/4") else Answer(content=b"film")) as host:
        source = open_source(f"dicomweb+http://{host}/dicom-web")
        source.read(good, 100)
        with pytest.raises(SourceAwayError, match="status 500"):
            source.read(bad, 100)
        now = 60.0 * 31
        with pytest.raises(ImageUnusableError, match="since 30 minutes") as own:
            source.read(bad, 100)
        assert own.value.reason is Reason.UNREADABLE
