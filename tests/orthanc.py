"""Orthanc, a real PACS, on loopback: C-STORE, and DICOMweb behind a password.

Its DICOM port listens on all addresses, whatever is configured (Orthanc 1.10); the tests' films are made up.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from support import eventually, free_port

PROGRAM = shutil.which("Orthanc")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass
class Orthanc:
    """A server with a folder of its own. `more`: settings of Orthanc's, over those that the tests need."""

    folder: Path
    user: str = "reader"
    password: str = "throw-away"
    title: str = "ORTHANC"
    more: dict[str, Any] = field(default_factory=dict)
    http_port: int = field(default_factory=free_port)
    dicom_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def rest(self) -> str:
        """Orthanc's own interface, by which tests look at what it holds."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb(self) -> str:
        """The root of its DICOMweb services, as Nightread's commands take it."""
        return f"dicomweb+{self.rest}/dicom-web"

    @property
    def dicom(self) -> str:
        """Where it takes C-STORE, as Nightread's commands take it."""
        return f"{self.title}@127.0.0.1:{self.dicom_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to be let in."""
        return {"NIGHTREAD_DICOMWEB_USER": self.user, "NIGHTREAD_DICOMWEB_PASSWORD": self.password}

    def start(self) -> None:
        assert PROGRAM
        settings: dict[str, Any] = {
            "Name": "tests",
            "StorageDirectory": str(self.folder / "storage"),
            "IndexDirectory": str(self.folder / "index"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.title,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.user: self.password},
            "OverwriteInstances": False,
            "StorageCompression": False,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "orthanc.json"
        path.write_text(json.dumps(settings | self.more), encoding="utf-8")
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, str(path)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        eventually(self.answers, 30, "Orthanc answers")

    def answers(self) -> bool:
        try:
            return bool(self.get("/system"))
        except requests.RequestException:
            return False

    def get(self, path: str) -> Any:
        """Ask Orthanc's own interface."""
        return self._session().get(f"{self.rest}{path}", timeout=30).json()

    def content(self, path: str) -> bytes:
        """Get a file by Orthanc's own interface."""
        return self._session().get(f"{self.rest}{path}", timeout=30).content

    def store(self, *films: bytes) -> None:
        """Put films into it by its own interface."""
        session = self._session()
        for film in films:
            session.post(f"{self.rest}/instances", data=film, timeout=30).raise_for_status()

    def instances(self) -> list[dict[str, Any]]:
        """What it holds: the main tags of each instance."""
        return [found["MainDicomTags"] for found in self.get("/instances?expand")]

    def empty(self) -> None:
        """Remove everything from it."""
        session = self._session()
        for patient in self.get("/patients"):
            session.delete(f"{self.rest}/patients/{patient}", timeout=30).raise_for_status()

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.auth = (self.user, self.password)
        return session

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
