"""Results and credentials go to the receiver that was named, and to nobody else."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from orthanc import PLUGIN, PROGRAM, Orthanc
from results_support import complete_film, small
from support import Nightread, close_run, make_run, score_batches

pytestmark = pytest.mark.processes

TOKEN = "throw-away-token"
Seen = list[tuple[str, str, str | None]]
"""Method, path and Authorization of each request."""


@pytest.fixture
def scored(nightread: Nightread) -> Nightread:
    assert nightread.call("db", "upgrade").returncode == 0
    for number in range(3):
        film = complete_film(SOPInstanceUID=f"1.2.3.{number}")
        (nightread.home / f"{number:08d}_000.png").write_bytes(film)
    database = nightread.database()
    run_id = make_run(database, nightread.home, 3)
    score_batches(database, nightread.home / "models", run_id, small)
    close_run(database, run_id)
    return nightread


@contextmanager
def service(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, Seen]]:
    """A DICOMweb service that finds nothing, and answers a POST with the next of these, or the last."""
    seen: Seen = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answered(200, {}, b"[]")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answered(*(left.pop(0) if len(left) > 1 else left[0]))

        def answered(self, status: int, headers: dict[str, str], body: bytes) -> None:
            seen.append((self.command, self.path, self.headers.get("Authorization")))
            self.send_response(status)
            for name, value in ({"Content-Type": "application/dicom+json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"dicomweb+http://127.0.0.1:{server.server_port}/web", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_redirect_to_another_host_is_not_followed(scored: Nightread) -> None:
    scored.environment["NIGHTREAD_DICOMWEB_TOKEN"] = TOKEN
    with service((200, {}, b"{}")) as (other, elsewhere):
        location = {"Location": other.removeprefix("dicomweb+") + "/studies"}
        with service((307, location, b"")) as (target, seen):
            done = scored.call("send", "1", "--to", target, "--format", "dicom-sr")
    assert done.returncode == 2
    host = other.removeprefix("dicomweb+http://").removesuffix("/web")
    assert f"sends us to {host} (status 307)" in done.stderr
    assert TOKEN not in done.stderr
    assert elsewhere == []
    assert {authorization for _, _, authorization in seen} == {f"Bearer {TOKEN}"}
    assert {row["state"] for row in scored.sql("SELECT state FROM deliveries")} == {"pending"}


def test_a_refusal_is_kept_with_its_reason_and_the_rest_goes_on(scored: Nightread) -> None:
    failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA900]}}]}}
    known = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0111]}}]}}
    answers: list[tuple[int, dict[str, str], bytes]] = [
        (409, {}, json.dumps(failed).encode()),
        (409, {}, json.dumps(known).encode()),
        (200, {}, b"{}"),
    ]
    with service(*answers) as (target, seen):
        done = scored.call("send", "1", "--to", target, "--format", "dicom-sr")
    assert done.returncode == 3
    assert "1 dicom-sr are refused: status 409, reason 0xA900" in done.stderr
    assert f"once mended: nightread send 1 --to {target} --again" in done.stderr
    assert [path for method, path, _ in seen if method == "POST"] == ["/web/studies"] * 3
    rows = scored.sql("SELECT state, status, attempts FROM deliveries ORDER BY image_index")
    assert [(row["state"], row["attempts"]) for row in rows] == [("refused", 1), ("sent", 1), ("sent", 1)]


def test_a_service_that_is_overloaded_gets_everything_in_the_end(scored: Nightread) -> None:
    with service((503, {}, b""), (429, {}, b""), (200, {}, b"{}")) as (target, seen):
        done = scored.call("send", "1", "--to", target, "--format", "dicom-sr")
    assert done.returncode == 0, done.stderr
    assert "waiting: " in done.stderr
    assert [method for method, _, _ in seen].count("POST") == 5


# --- TLS ---------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str) -> Path:
    """A certificate for localhost that is its own authority; its key is in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
        ],
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return folder / f"{name}.pem"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Orthanc]:
    """A PACS whose DICOM port speaks TLS, and asks for our certificate."""
    if PROGRAM is None or not PLUGIN.exists():
        pytest.skip("there is no Orthanc with its DICOMweb plugin: apt install orthanc orthanc-dicomweb")
    for name in ("server", "client", "theirs"):
        certificate(tmp_path, name)
    more = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(tmp_path / "server.pem"),
        "DicomTlsPrivateKey": str(tmp_path / "server.key"),
        "DicomTlsTrustedCertificates": str(tmp_path / "client.pem"),
    }
    server = Orthanc(tmp_path / "orthanc", more=more)
    server.start()
    yield server
    server.stop()


def test_over_tls_a_foreign_authority_is_said_and_the_right_one_is_sent_to(
    scored: Nightread, secured: Orthanc, tmp_path: Path
) -> None:
    target = f"ORTHANC@localhost:{secured.dicom_port}"
    arguments = ("send", "1", "--to", target, "--tls", "--format", "dicom-sr")
    scored.environment |= {
        "NIGHTREAD_DICOM_TLS_CA": str(tmp_path / "theirs.pem"),
        "NIGHTREAD_DICOM_TLS_CERTIFICATE": str(tmp_path / "client.pem"),
        "NIGHTREAD_DICOM_TLS_KEY": str(tmp_path / "client.key"),
    }
    done = scored.call(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "its certificate is not trusted; name the file of its authority's" in done.stderr
    assert scored.sql("SELECT * FROM deliveries") == []

    scored.environment["NIGHTREAD_DICOM_TLS_CA"] = str(tmp_path / "server.pem")
    done = scored.call(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(secured.instances()) == 3

    stranger = scored.environment | {"NIGHTREAD_DICOM_TLS_CERTIFICATE": str(tmp_path / "theirs.pem")}
    scored.environment = stranger | {"NIGHTREAD_DICOM_TLS_KEY": str(tmp_path / "theirs.key")}
    done = scored.call(*arguments, "--again", "--patience", "0")
    assert done.returncode in {1, 2}
    assert done.stderr.count("\n") == 1

    scored.environment["NIGHTREAD_DICOM_TLS_CA"] = str(tmp_path / "gone.pem")
    done = scored.call(*arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot be read" in done.stderr
