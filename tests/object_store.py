"""An object store for tests: moto's server, which speaks S3, and buckets in it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import requests
from support import eventually, free_port

SECRET = "seeded-secret-of-the-store"


@dataclass
class ObjectServer:
    """moto's server as a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    @classmethod
    def start(cls, log: Path) -> "ObjectServer":
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        server = cls(process, f"http://127.0.0.1:{port}")
        eventually(server.answers, 60, "the object store's server answers")
        return server

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/moto-api/data.json", timeout=2).ok
        except requests.ConnectionError:
            return False

    def environment(self, key: str = "AKIASEEDED", secret: str = SECRET) -> dict[str, str]:
        """What a process needs to read its buckets."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def bucket(self, name: str) -> "Bucket":
        """An empty bucket; one of that name is made where there is none."""
        requests.put(f"{self.url}/{name}", timeout=10).raise_for_status()
        return Bucket(self, name)


@dataclass(frozen=True)
class Bucket:
    """A bucket of the server."""

    server: ObjectServer
    name: str

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes) -> None:
        # A tenth of a second to import, which other tests need not pay.
        import obstore
        from obstore.store import S3Store

        said = self.server.environment()
        store = S3Store(
            self.name,
            endpoint=said["AWS_ENDPOINT_URL"],
            region=said["AWS_REGION"],
            access_key_id=said["AWS_ACCESS_KEY_ID"],
            secret_access_key=said["AWS_SECRET_ACCESS_KEY"],
            client_options={"allow_http": True},
        )
        obstore.put(store, key, content)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Put a folder's files below a prefix, by their names."""
        for path in sorted(folder.iterdir()):
            if path.is_file():
                self.put(f"{prefix}/{path.name}", path.read_bytes())
