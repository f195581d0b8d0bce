"""A process that has loaded the command's libraries and forks the command's processes, which need not wait.

Started alone, a command spends a second of processor time on imports, and the tests start hundreds. From here
each is a process all the same, with an environment, an output and an exit code of its own.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

COMMAND: Final = "workers.commands.main"
FIRST: Final = ("alembic.command", "workers.evaluation.figures")
"""What takes longest to load of what commands load later. Neither TensorFlow nor what reads the settings."""
READ_AT_START: Final = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHON", "TERM")
"""Beginnings of the variables' names that Python or Rich reads as it is loaded, and not later."""


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Give the variables that a forked command cannot be given any more."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_START)}


class Launcher:
    """The tests' end of such a process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; commands get environments of their own but for what is read at the start."""
        self.read_at_start = read_at_start(environment)
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; TimeoutExpired if it does not come in `timeout` seconds."""
        sys.audit("nightread.process", "nightread")
        order = {"arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd())}
        told, theirs = socket.socketpair()
        with told, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            with theirs:
                descriptors = [output.fileno(), errors.fileno(), theirs.fileno()]
                socket.send_fds(self._door, [json.dumps(order).encode()], descriptors)
            process = _number(told)
            told.settimeout(timeout)
            try:
                code = _number(told)
            except BaseException as error:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired(list(arguments), timeout) from error
                raise
            for file in (output, errors):
                file.seek(0)
            return subprocess.CompletedProcess(list(arguments), code, output.read(), errors.read())

    def end(self) -> None:
        """End the process; commands that still run are not its business."""
        self._door.close()
        self._process.wait()


def _number(told: socket.socket) -> int:
    if len(number := told.recv(4, socket.MSG_WAITALL)) < 4:
        raise RuntimeError("the process that forks the commands has ended; see what is captured")
    return int.from_bytes(number, signed=True)


# --- within the process ------------------------------------------------------------------------------------


def serve(door: socket.socket) -> list[str]:
    """Fork for every order until the tests close the door; returns in the forks, with their arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch the commands
    gc.freeze()  # else the forks would copy all that was loaded, to look for garbage in it
    while True:
        message, descriptors, _, _ = socket.recv_fds(door, 1 << 20, 3)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            break
        for descriptor in descriptors:
            os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    door.close()
    output, errors, told = descriptors
    if process := os.fork():
        os.write(told, process.to_bytes(4, signed=True))
        _, status = os.waitpid(process, 0)
        with suppress(BrokenPipeError):  # nobody waits for a command that was too late
            os.write(told, os.waitstatus_to_exitcode(status).to_bytes(4, signed=True))
        os._exit(0)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(errors, sys.stderr.fileno())
    for descriptor in descriptors:
        os.close(descriptor)
    order = json.loads(message)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    arguments: list[str] = order["arguments"]
    return arguments


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())  # as with python -m; beside this file lie folders of the packages' names
    command = import_module(COMMAND)
    for name in (*FIRST, *(entry.module for entry in command.COMMANDS.values())):
        import_module(name)
    sys.argv = ["nightread", *serve(socket.socket(fileno=int(sys.argv[1])))]
    try:
        command.main()
    except SystemExit as ended:
        # As Python ends, but that nothing is taken apart: of all that was loaded the fork would make a copy.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(ended.code or 0))
