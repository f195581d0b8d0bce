"""Moves the clock of a process that starts with this folder on PYTHONPATH: by STORM_CLOCK seconds."""

import datetime as dt
import os
import time
from typing import Self

_SECONDS = float(os.environ.get("STORM_CLOCK", "0"))
_time, _time_ns, _Datetime = time.time, time.time_ns, dt.datetime


class _AsTheReal(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _Datetime)


class _Shifted(dt.datetime, metaclass=_AsTheReal):
    __slots__ = ()

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        return super().now(tz) + dt.timedelta(seconds=_SECONDS)


time.time = lambda: _time() + _SECONDS
time.time_ns = lambda: _time_ns() + int(_SECONDS * 1e9)
vars(dt)["datetime"] = _Shifted
