"""Whether a worker or beat is alive, and whether it is ready: for Docker, Kubernetes and systemd to ask."""

import time
from pathlib import Path
from typing import Final, NamedTuple

from config.settings import Settings
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError

_LEAST_SECONDS: Final = 60.0
_TICKS: Final = 3


class Health(NamedTuple):
    """Whether all is well, and the line that says why or why not."""

    well: bool
    line: str


def worker(broker: Broker, name: str, seconds: float, *, ready: bool) -> Health:
    """Ask the worker of this name through the broker.

    While the broker is away nothing can be said against the worker, which waits for it: it is alive, and not
    ready. Ready is one whose children have loaded their model.
    """
    try:
        answers = broker.ask_workers(seconds, name)
    except (BrokerAwayError, BrokerError) as error:
        return Health(not ready, f"{name} cannot be asked: {error}")
    if name not in answers:
        return Health(False, f"{name} does not answer within {seconds:g} s")
    starting = int(answers[name].get("starting", 0))
    if starting:
        return Health(not ready, f"{name} answers; {starting} of its children still load their model")
    return Health(True, f"{name} answers, and its children are ready")


def beat(broker: Broker, schedule: Path, settings: Settings, *, ready: bool) -> Health:
    """Look at the file that beat writes at each tick; ready is one whose ticks the broker takes."""
    # Python's dbm may make several files of one name.
    written = max((path.stat().st_mtime for path in schedule.parent.glob(f"{schedule.name}*")), default=None)
    if written is None:
        return Health(False, f"there is no {schedule}: beat has not started, or has another home")
    age, most = time.time() - written, max(_LEAST_SECONDS, _TICKS * settings.tick_seconds)
    if age > most:
        return Health(False, f"beat has not ticked for {age:,.0f} s")
    if ready:
        try:
            broker.require_writable()
        except (BrokerAwayError, BrokerError) as error:
            return Health(False, f"beat ticks in vain: {error}")
    return Health(True, "beat ticks")
