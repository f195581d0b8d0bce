"""TLS to the queue and to the database: with the right authority all goes on, with another nothing does."""

import os
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from films import film_of
from orthanc import Orthanc
from proxy import tls
from sqlalchemy import URL, text
from support import REDIS_SERVER, Nightread, eventually, free_port, write_manifest

from jobs.errors import SourceError
from jobs.sources.source import open_source

pytestmark = pytest.mark.processes

OPENSSL = shutil.which("openssl")
PASSWORD = "throw-away"
USER = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root


@dataclass(frozen=True)
class Authority:
    """A private certificate authority."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def make(self) -> None:
        self.openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "2", "-subj", f"/CN={self.name}", "-keyout", f"{self.name}.key"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", f"{self.name}.pem"),
        )

    def sign(self, server: str) -> None:
        """Give SERVER.pem and SERVER.key for the host name localhost, and for no address."""
        self.openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-days", "2", "-subj", f"/CN={server}", "-keyout", f"{server}.key", "-out", f"{server}.pem"),
            *("-CA", f"{self.name}.pem", "-CAkey", f"{self.name}.key"),
            *("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"),
        )

    def openssl(self, *arguments: str) -> None:
        assert OPENSSL
        subprocess.run([OPENSSL, *arguments], cwd=self.folder, capture_output=True, check=True)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Path]:
    """The files ours.pem, theirs.pem, server.pem and server.key, where the servers' user can read them."""
    if not OPENSSL:
        pytest.skip("openssl is not installed")
    folder = Path(tempfile.mkdtemp(prefix="nightread-tls-"))
    ours = Authority(folder, "ours")
    ours.make()
    Authority(folder, "theirs").make()
    ours.sign("server")
    folder.chmod(0o755)
    if USER:
        shutil.chown(folder / "server.key", USER)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def queue_port(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis that speaks TLS and nothing else."""
    port = free_port()
    command = [REDIS_SERVER, "--port", "0", "--tls-port", str(port), "--requirepass", PASSWORD, "--save", ""]
    command += ["--tls-cert-file", str(certificates / "server.pem"), "--tls-auth-clients", "no"]
    command += ["--tls-key-file", str(certificates / "server.key")]
    command += ["--tls-ca-cert-file", str(certificates / "ours.pem"), "--bind", "127.0.0.1"]
    folder = tmp_path_factory.mktemp("tls-queue")
    log = folder / "server.log"
    with log.open("wb") as sink, subprocess.Popen(command, cwd=folder, stdout=sink, stderr=sink) as server:
        eventually(lambda: server.poll() is not None or b"Ready to accept" in log.read_bytes(), 20)
        if server.poll() is not None:
            pytest.skip("this queue server was built without TLS")
        yield port
        server.kill()


@pytest.fixture(scope="module")
def database_port(certificates: Path) -> Iterator[int]:
    """A PostgreSQL that takes nothing but TLS."""
    postgres, initdb = shutil.which("postgres"), shutil.which("initdb")
    if not (postgres and initdb):
        pytest.skip("PostgreSQL is not installed; the one in a wheel has no TLS")
    folder = Path(tempfile.mkdtemp(prefix="nightread-pg-tls-"))
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if USER:
        for path in (folder, folder / "password"):
            shutil.chown(path, USER)
    data, port = folder / "data", free_port()
    make = [initdb, "--pgdata", str(data), "--username", "nightread", "--no-sync"]
    make += ["--auth", "scram-sha-256", "--pwfile", str(folder / "password")]
    subprocess.run(make, user=USER, cwd=folder, capture_output=True, check=True)
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n", encoding="utf-8")
    command = [postgres, "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", ""]
    command += ["-c", "ssl=on", "-c", f"ssl_cert_file={certificates / 'server.pem'}"]
    command += ["-c", f"ssl_key_file={certificates / 'server.key'}", "-c", "fsync=off"]
    log = folder / "server.log"
    with log.open("wb") as sink, subprocess.Popen(command, user=USER, cwd=folder, stderr=sink) as server:
        eventually(lambda: b"ready to accept" in log.read_bytes(), 30, "PostgreSQL is ready")
        yield port
        server.terminate()
    shutil.rmtree(folder)


def queue_url(port: int, host: str, authority: Path | None) -> str:
    return f"rediss://:{PASSWORD}@{host}:{port}/0" + (f"?ssl_ca_certs={authority}" if authority else "")


def database_url(port: int, host: str, authority: Path) -> str:
    checked = {"sslmode": "verify-full", "sslrootcert": str(authority)}
    url = URL.create("postgresql", "nightread", PASSWORD, host, port, "postgres", checked)
    return url.render_as_string(hide_password=False)


def test_a_run_goes_through_tls_from_end_to_end(
    certificates: Path, queue_port: int, database_port: int, home: Path, tmp_path: Path
) -> None:
    ours = certificates / "ours.pem"
    command = Nightread(
        home,
        {
            "NIGHTREAD_BROKER_URL": queue_url(queue_port, "localhost", ours),
            "NIGHTREAD_DATABASE_URL": database_url(database_port, "localhost", ours),
        },
    )
    try:
        upgraded = command.run("db", "upgrade")
        assert upgraded.returncode == 0, upgraded.stderr
        assert "sslrootcert" not in upgraded.stdout
        command.start("worker", "--model", "stub", "--children", "1")
        manifest = write_manifest(tmp_path / "manifest.csv", 24)
        scored = command.run("score", manifest, "--images", tmp_path, "--model", "stub", "--batch-size", "8")
        assert scored.returncode == 0, scored.stderr + command.logs()
        assert command.sql("SELECT scored FROM progress") == [{"scored": 24}]
        with command.database().read() as connection:
            encrypted = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            assert connection.execute(encrypted).scalar_one()
        assert PASSWORD not in command.logs()
    finally:
        command.end()


@pytest.mark.parametrize(
    ("host", "authority", "told"),
    [
        ("localhost", "theirs.pem", "certificate verify failed"),
        ("127.0.0.1", "ours.pem", "does not match host name"),
    ],
    ids=["another authority", "another host name"],
)
def test_a_database_that_cannot_prove_itself_is_refused_in_one_line(
    certificates: Path, database_port: int, home: Path, host: str, authority: str, told: str
) -> None:
    url = database_url(database_port, host, certificates / authority)
    refused = Nightread(home, {"NIGHTREAD_DATABASE_URL": url}).run("status")
    assert refused.returncode == 1
    assert told in refused.stderr
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert PASSWORD not in refused.stderr


@pytest.mark.parametrize(
    ("host", "authority", "told"),
    [
        ("localhost", "theirs.pem", "certificate verify failed"),
        ("localhost", None, "certificate verify failed"),
        ("127.0.0.1", "ours.pem", "IP address mismatch"),
    ],
    ids=["another authority", "no authority named", "another host name"],
)
def test_a_queue_that_cannot_prove_itself_gets_no_message(
    certificates: Path,
    queue_port: int,
    home: Path,
    tmp_path: Path,
    host: str,
    authority: str | None,
    told: str,
) -> None:
    url = queue_url(queue_port, host, certificates / authority if authority else None)
    command = Nightread(home, {"NIGHTREAD_BROKER_URL": url})
    manifest = write_manifest(tmp_path / "manifest.csv", 4)
    submitted = command.run("submit", manifest, "--images", tmp_path, "--model", "stub")
    assert "committed, but not yet announced" in submitted.stderr
    assert told in submitted.stderr
    assert "Traceback" not in submitted.stderr
    assert PASSWORD not in submitted.stderr
    # A worker says so, and waits for a server that can.
    command.start("worker", "--model", "stub", "--children", "1")
    try:
        eventually(lambda: told in command.logs(), 60, "the worker says why it does not connect")
        assert " ready." not in command.logs()
        assert PASSWORD not in command.logs()
    finally:
        command.end()


@pytest.mark.parametrize(("authority", "trusted"), [("ours.pem", True), ("theirs.pem", False), (None, False)])
def test_a_pacs_is_trusted_by_its_authority_alone(
    nightread: Nightread,
    orthanc: Orthanc,
    certificates: Path,
    tmp_path: Path,
    authority: str | None,
    trusted: bool,
) -> None:
    orthanc.store(film_of())
    nightread.environment |= orthanc.environment
    if authority is not None:
        nightread.environment["NIGHTREAD_DICOMWEB_CA"] = str(certificates / authority)
    # Debian's Orthanc 1.10 ends at the first connection where it is to speak TLS itself.
    with tls(orthanc.http_port, certificates / "server.pem", certificates / "server.key") as port:
        place = f"dicomweb+https://localhost:{port}/dicom-web"
        done = nightread.call("manifest", place, "-o", tmp_path / "films.csv")
        of_name = nightread.call(
            "manifest", place.replace("localhost", "127.0.0.1"), "-o", tmp_path / "x.csv"
        )
    assert (done.returncode == 0) == trusted, done.stderr
    assert ("1 kept" if trusted else "NIGHTREAD_DICOMWEB_CA") in done.stderr.replace("\n", " ")
    assert orthanc.password not in done.stderr
    # The certificate is for another name.
    assert of_name.returncode == 2
    assert "certificate" in of_name.stderr


class _Empty(BaseHTTPRequestHandler):
    """Answers as a bucket that may be listed and holds one object."""

    def do_GET(self) -> None:
        entry = "<Contents><Key>images/a.png</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entry}<Size>1</Size></Contents>"
        content = f"{body}</ListBucketResult>".encode() if "list-type" in self.path else b""
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store_url(certificates: Path) -> Iterator[str]:
    """An object store with a certificate of ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("authority", ["ours.pem", "theirs.pem"])
def test_an_object_store_that_cannot_prove_itself_is_refused_in_one_line(
    certificates: Path, store_url: str, monkeypatch: pytest.MonkeyPatch, authority: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", store_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASEEDED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PASSWORD)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / authority))
    source = open_source(f"s3://{authority.partition('.')[0]}/images")
    if authority == "ours.pem":
        source.require()
    else:
        with pytest.raises(SourceError, match="certificate") as caught:
            source.require()
        assert PASSWORD not in str(caught.value)
