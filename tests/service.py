"""systemd's part for a worker of the tests: it is started again by the rules that docs/machines.md shows."""

import re
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from configparser import ConfigParser
from dataclasses import dataclass, field

from support import ROOT


@dataclass(frozen=True)
class Rules:
    """What systemd reads of a unit, with its own defaults; systemd.service(5) and systemd.unit(5).

    `pause` is the time before a start, in seconds; more than `burst` starts within `interval` seconds (0: no
    limit) leave the unit failed for good.
    """

    restart: str
    pause: float
    prevent: frozenset[int]
    interval: float
    burst: int

    def pause_after(self, code: int, starts: Sequence[float], now: float) -> float | None:
        """Return the seconds until the next start after an end with `code`; None: the unit stays failed.

        `starts` are the moments at which it was started, on the clock of `now`.
        """
        recent = [started for started in starts if now - started < self.interval]
        stays = (
            self.restart != "always" or code in self.prevent or (self.interval and len(recent) >= self.burst)
        )
        return None if stays else self.pause


class Unit(ConfigParser):
    """A unit's file, whose keys are case-sensitive."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def documented_unit() -> ConfigParser:
    """The worker's unit as docs/machines.md shows it."""
    page = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```ini\n(.*?nightread worker\n.*?)```", page, flags=re.DOTALL)
    unit = Unit(interpolation=None)
    unit.read_string(block)
    return unit


def documented_rules() -> Rules:
    """The rules of that unit."""
    unit = documented_unit()
    service = unit["Service"]
    limits = unit["Unit"] if unit.has_section("Unit") else {}
    return Rules(
        restart=service.get("Restart", "no"),
        pause=float(service.get("RestartSec", "0.1")),
        prevent=frozenset(int(code) for code in service.get("RestartPreventExitStatus", "").split()),
        interval=float(limits.get("StartLimitIntervalSec", "10")),
        burst=int(limits.get("StartLimitBurst", "5")),
    )


@dataclass
class Service:
    """A service under these rules: `start` makes its process; `state` is `active`, `waiting` or `failed`."""

    start: Callable[[], subprocess.Popen[bytes]]
    rules: Rules = field(default_factory=documented_rules)
    state: str = "active"
    codes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._starts = [time.monotonic()]
        self.process = self.start()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        while not self._stopped.is_set():
            code = self.process.wait()
            if self._stopped.is_set():
                return
            self.codes.append(code)
            pause = self.rules.pause_after(code, self._starts, time.monotonic())
            if pause is None:
                self.state = "failed"
                return
            self.state = "waiting"
            if self._stopped.wait(pause):
                return
            self._starts.append(time.monotonic())
            self.process = self.start()
            self.state = "active"

    def stop(self) -> None:
        """End the supervision; the process is the fixture's to end."""
        self._stopped.set()
