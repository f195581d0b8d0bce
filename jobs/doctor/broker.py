"""The broker: it takes messages, keeps them over a restart, throws none away, and its clock is ours."""

import time
from collections.abc import Iterator
from typing import Any, Final

from config.settings import Settings
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError
from jobs.doctor.clock import compare
from jobs.doctor.verdict import Night, State, Verdict

_KEEPING: Final = "persistence"
_EVICTION: Final = "eviction"
_FULL: Final = 0.9


def ask(night: Night) -> Iterator[Verdict]:
    """Write a key that passes, then ask the server about itself."""
    url = night.settings.broker_url
    if url is None:
        yield Verdict("broker", State.OK, "none configured: score starts a private Valkey")
        return
    broker = Broker.connect(url.get_secret_value(), night.settings.tick_seconds)
    try:
        broker.require_writable()
    except BrokerAwayError as error:
        yield Verdict(
            "broker",
            State.FAULT,
            str(error),
            "start or free it, or correct NIGHTREAD_BROKER_URL; a night waits until it answers",
        )
        return
    except BrokerError as error:
        yield Verdict("broker", State.FAULT, str(error), "give Nightread a Redis or Valkey of its own")
        return
    yield Verdict("broker", State.OK, f"{broker.where} takes messages")
    yield from _about(broker, night.settings)


def _about(broker: Broker, settings: Settings) -> Iterator[Verdict]:
    try:
        with broker.server() as server:
            before = time.time()
            seconds, microseconds = server.time()
            after = time.time()
            facts: dict[str, Any] = server.info()
    except (BrokerAwayError, BrokerError) as error:
        for name in (_KEEPING, _EVICTION):
            seen = f"the server does not say: {error}"
            yield Verdict(name, State.UNASKED, seen, "allow its user INFO and TIME")
        return
    yield _kept(facts)
    yield _evicted(facts)
    yield compare("broker's clock", seconds + microseconds / 1e6, before, after, settings)


def _kept(facts: dict[str, Any]) -> Verdict:
    if not facts.get("aof_enabled"):
        return Verdict(
            _KEEPING,
            State.WARNING,
            "appendonly is off: a restart of the server forgets the queue, which the ledger then sends again",
            "set appendonly yes in the server's configuration",
        )
    if facts.get("aof_last_write_status", "ok") != "ok":
        return Verdict(
            _KEEPING,
            State.FAULT,
            "the server could not write its append-only file",
            "free space on the server's disk",
        )
    return Verdict(_KEEPING, State.OK, "appendonly is on")


def _evicted(facts: dict[str, Any]) -> Verdict:
    policy = facts.get("maxmemory_policy", "unknown")
    most, used = int(facts.get("maxmemory", 0)), int(facts.get("used_memory", 0))
    if policy != "noeviction":
        return Verdict(
            _EVICTION,
            State.FAULT,
            f"maxmemory-policy is {policy}: a full server throws messages away",
            "set maxmemory-policy noeviction in the server's configuration",
        )
    if most and used > _FULL * most:
        return Verdict(
            _EVICTION,
            State.WARNING,
            f"noeviction; {used / most:.0%} of maxmemory are used",
            "raise maxmemory, or find what else uses the server: Nightread needs a few megabytes",
        )
    return Verdict(_EVICTION, State.OK, "noeviction")
