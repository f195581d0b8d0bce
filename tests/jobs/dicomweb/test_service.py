"""What a DICOMweb service's answers mean, and what is never sent to it or followed.

The server here is a stand-in: Orthanc gives none of these answers on demand.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from http_server import Answer, Request, serving

from config.settings import Settings
from jobs.dicomweb.service import (
    BadAnswerError,
    DicomWeb,
    ForbiddenError,
    NotFoundError,
    TooLargeError,
)
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.source import open_source

FILE = bytes(range(256)) * 8
JSON = {"Content-Type": "application/dicom+json"}
PARTS = {"Content-Type": 'multipart/related; type="application/dicom"; boundary="==b=="'}


def entry(uid: str) -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [uid]}}


def page(*uids: str) -> Answer:
    return Answer(content=json.dumps([entry(uid) for uid in uids]).encode(), headers=JSON)


def multipart(content: bytes) -> bytes:
    return b"--==b==\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--==b==--\r\n"


def service(host: str, **settings: Any) -> DicomWeb:
    return DicomWeb(f"dicomweb+http://{host}/dicom-web/", Settings(**settings))


def got(answer: Answer, max_bytes: int = 1 << 20) -> bytes:
    with serving(lambda _: answer) as host:
        return service(host).retrieve("studies/1/series/2/instances/3", max_bytes)


def found(answer: Callable[[Request], Answer]) -> list[str]:
    with serving(answer) as host:
        return [study["0020000D"]["Value"][0] for study in service(host).search("studies")]


@pytest.mark.parametrize("most", [1, 3, 500], ids="at most {} per page".format)
def test_a_search_goes_on_until_a_page_is_empty_however_few_a_service_gives(most: int) -> None:
    there = [f"1.2.{number}" for number in range(7)]
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        offset = int(request.query["offset"])
        return page(*there[offset : offset + most])

    assert found(answer) == there
    assert {request.path for request in asked} == {"/dicom-web/studies"}


def test_an_empty_answer_without_content_ends_a_search() -> None:
    assert found(lambda _: Answer(204)) == []


def test_a_service_that_gives_its_first_page_for_ever_is_refused() -> None:
    with pytest.raises(SourceError, match="same 2 results for every page"):
        found(lambda _: page("1", "2"))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(content=multipart(FILE), headers=PARTS),
        Answer(content=b"\r\n" + multipart(FILE), headers=PARTS),
        Answer(content=FILE, headers={"Content-Type": "application/dicom"}),
    ],
    ids=["multipart", "with a line before", "bare"],
)
def test_a_file_comes_as_it_is(answer: Answer) -> None:
    assert got(answer, len(FILE)) == FILE


def test_a_file_that_holds_the_boundary_comes_as_it_is() -> None:
    tricky = b"\r\n--==b==\r\n\r\n" + FILE
    assert got(Answer(content=multipart(tricky), headers=PARTS)) == tricky


@pytest.mark.parametrize(
    "content", [b"", b"--==b==\r\n", multipart(FILE)[:-12], b"hello", multipart(FILE).replace(b"b", b"c")]
)
def test_a_message_that_is_cut_or_is_none_is_no_file(content: bytes) -> None:
    with pytest.raises(BadAnswerError):
        got(Answer(content=content, headers=PARTS))


def test_a_message_without_a_boundary_is_no_file() -> None:
    with pytest.raises(BadAnswerError):
        got(Answer(content=multipart(FILE), headers={"Content-Type": "multipart/related"}))


def test_what_is_larger_than_told_is_not_read_to_its_end() -> None:
    with pytest.raises(TooLargeError):
        got(Answer(content=multipart(FILE), headers=PARTS), len(FILE) - 1)
    bomb = gzip.compress(bytes(1 << 26))
    with pytest.raises(TooLargeError):
        got(Answer(content=bomb, headers=PARTS | {"Content-Encoding": "gzip"}))


def test_a_connection_that_ends_early_is_no_fault_of_the_image() -> None:
    with pytest.raises(SourceAwayError):
        got(Answer(content=FILE, length=len(FILE) + 1))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_service_that_cannot_answer_now_is_away(status: int) -> None:
    with pytest.raises(SourceAwayError, match=str(status)):
        got(Answer(status))


def test_a_host_that_does_not_answer_is_away() -> None:
    with pytest.raises(SourceAwayError):
        service("127.0.0.1:1").require()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, NotFoundError),
        (410, NotFoundError),
        (403, ForbiddenError),
        (401, SourceError),
        (400, SourceError),
    ],
)
def test_a_refusal_says_of_what(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        got(Answer(status))


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[1]", b"[" * 100_000, b"\xff"])
def test_an_answer_that_is_no_dicom_json_is_no_empty_one(content: bytes) -> None:
    with pytest.raises(SourceError, match="root of a DICOMweb service"):
        found(lambda _: Answer(content=content, headers=JSON))


def test_a_redirect_is_not_followed() -> None:
    asked: list[Request] = []

    def elsewhere(request: Request) -> Answer:
        asked.append(request)
        return page()

    with (
        serving(elsewhere) as other,
        serving(lambda _: Answer(302, headers={"Location": f"http://{other}/dicom-web/studies"})) as host,
        pytest.raises(SourceError, match=other),
    ):
        service(host, dicomweb_token="secret").require()
    assert not asked


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, None),
        ({"dicomweb_token": "abc"}, "Bearer abc"),
        ({"dicomweb_user": "jö", "dicomweb_password": "p:ä"}, "Basic asO2OnA6w6Q="),
    ],
)
def test_credentials_are_those_of_the_settings_and_no_others(
    settings: dict[str, str], header: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    asked: list[Request] = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        return page()

    with serving(answer) as host:
        service(host, **settings).require()
    assert [request.headers.get("Authorization") for request in asked] == [header]


def test_a_file_of_certificates_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with serving(lambda _: page()) as host, pytest.raises(SourceError, match=str(path)):
        DicomWeb(f"dicomweb+https://{host}", Settings(dicomweb_ca=path)).require()


@pytest.mark.parametrize(
    "root",
    [
        "dicomweb+https://",
        "dicomweb+https:///x",
        "dicomweb+ftp://h/x",
        "dicomweb+https://h:99999999/x",
        "dicomweb+https://user:hidden@h/x",
        "dicomweb+https://h/x?token=hidden",
        "dicomweb+https://h/x#hidden",
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused_without_showing_it(root: str) -> None:
    with pytest.raises(SourceError) as refused:
        DicomWeb(root, Settings())
    assert "hidden" not in str(refused.value)


def test_one_service_has_one_name() -> None:
    assert {open_source(f"dicomweb+https://PACS.example/dicom-web{end}").root for end in ("", "/", "//")} == {
        "dicomweb+https://pacs.example/dicom-web"
    }
