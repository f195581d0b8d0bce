"""The checks there are, in the order in which they are asked and shown."""

from collections.abc import Iterator, Mapping
from pkgutil import resolve_name
from typing import Final

from config.errors import ConfigError
from jobs.doctor.verdict import Check, Night, State, Verdict

CHEAP: Final[Mapping[str, str]] = {
    "home": "jobs.doctor.home:ask",
    "disk space": "jobs.doctor.disk:ask",
    "cache": "jobs.doctor.cache:ask",
    "descriptors": "jobs.doctor.limits:descriptors",
    "memory": "jobs.doctor.limits:memory",
}
"""Those that take milliseconds and ask no server. By name, as a command loads only what it asks."""

CHECKS: Final[Mapping[str, str]] = {
    **CHEAP,
    "images": "jobs.doctor.images:ask",
    "database": "jobs.doctor.database:ask",
    "broker": "jobs.doctor.broker:ask",
    "workers": "jobs.doctor.workers:ask",
    "flower": "jobs.doctor.flower:ask",
}


def examine(night: Night, checks: Mapping[str, str]) -> Iterator[Verdict]:
    """Ask each check in turn; one that the system does not let ask says so and keeps none of the others."""
    for name, module in checks.items():
        check: Check = resolve_name(module)
        try:
            yield from check(night)
        except (OSError, ConfigError) as error:
            yield Verdict(name, State.UNASKED, f"cannot be asked: {error}")
