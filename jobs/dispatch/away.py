"""What passes with time: the errors of a broker after which it is worth asking again.

By the codes that Redis and Valkey themselves give, as kombu and redis-py sort the errors into classes of
their own: one of them has a full server and an unknown command in one.
"""

from typing import Final

from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

REDIS_CODES: Final = {
    "BUSY": "it runs a script",
    "CLUSTERDOWN": "its cluster is not complete",
    "DENIED": "it takes connections of its own machine only",
    "LOADING": "it reads its file after a start",
    "MASTERDOWN": "it is a replica that has lost its master",
    "MISCONF": "it cannot write its file, as on a full disk",
    "NOAUTH": "it asks for a password",
    "NOPERM": "its user may not do this",
    "NOREPLICAS": "it has too few replicas to write",
    "OOM": "its memory is full",
    "READONLY": "it is a replica",
    "TRYAGAIN": "its cluster moves keys",
    "WRONGPASS": "its password is another one",
}
"""The first word of an error. What a person must mend is mended in the server, while workers wait."""

_NO_ANSWER: Final = (OSError, RedisConnectionError, RedisTimeoutError, OperationalError)
_IN_PIPELINE: Final = "caused error: "


def away_reason(error: BaseException, where: str) -> str | None:
    """Say what passes with time in a broker's error; None for one that no waiting mends.

    `where` is the broker as messages name it.
    """
    cause = error
    while isinstance(cause, OperationalError) and cause.__cause__ is not None:
        cause = cause.__cause__  # kombu wraps some
    # Of an error within a transaction redis-py says first in which of its commands.
    said = " ".join(str(cause).split(_IN_PIPELINE)[-1].split())
    # It strips the code from the texts of those errors that it knows.
    code = getattr(cause, "status_code", None) or said.split(" ")[0]
    if isinstance(cause, RedisError) and code in REDIS_CODES:
        return f"the broker at {where} cannot go on now: {REDIS_CODES[code]} ({said})"
    return f"the broker at {where} does not answer: {said}" if isinstance(cause, _NO_ANSWER) else None


def is_brokers(error: BaseException) -> bool:
    """Return whether an error came from the broker's connection, and not from a fault of ours."""
    return isinstance(error, OSError | RedisError | OperationalError)
