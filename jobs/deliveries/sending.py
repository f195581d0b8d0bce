"""Sending a run's results as a step of another command, by the command that does it."""

import subprocess
from typing import Final

from config.machine import own_command
from config.settings import Settings
from jobs.console import warn
from jobs.deliveries.peer import peer_of
from jobs.errors import AwayError

_STANDARD_ERROR: Final = 2


def require_receiver(to: str, settings: Settings) -> None:
    """Raise InputError for an address that is none or a receiver that refuses us; say if it is away."""
    with peer_of(to, settings) as peer:
        try:
            peer.check()
        except AwayError as error:
            warn(f"{error}; it is asked again once there are results")


def send_run(run_id: int, to: str, *, beside_json: bool = False) -> int:
    """Send as `nightread send` does; returns its exit code. `beside_json`: standard output is JSON's."""
    command = own_command("send", str(run_id), "--to", to)
    return subprocess.run(command, stdout=_STANDARD_ERROR if beside_json else None, check=False).returncode
