"""Our clock beside a server's: leases go by the database's, ticks and schedules by each machine's own."""

from typing import Final

from config.settings import Settings
from jobs.doctor.verdict import State, Verdict

_SECONDS: Final = 2.0
"""More than an answer takes on its way, and than a running time service leaves."""


def compare(name: str, theirs: float, before: float, after: float, settings: Settings) -> Verdict:
    """Compare a server's clock with ours before and after it was asked; all in seconds since 1970."""
    apart = theirs - min(max(theirs, before), after)
    if abs(apart) < _SECONDS:
        return Verdict(name, State.OK, "as ours")
    seen = f"{apart:,.0f} s ahead of ours" if apart > 0 else f"{-apart:,.0f} s behind ours"
    # A tick of beat that is older than its own period is dropped by the worker that takes it.
    state = State.FAULT if abs(apart) >= settings.tick_seconds else State.WARNING
    return Verdict(name, state, seen, "let a time service, such as chrony, set both clocks")
