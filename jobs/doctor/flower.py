"""Flower's port on this machine: open to others or not, and with a password or without."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

import requests

from jobs.doctor.verdict import Night, State, Verdict

PORT: Final = 5555
SOCKETS: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
"""proc(5): addresses and ports in hexadecimal, the state in the fourth field."""

_NAME: Final = "flower"
_LISTENS: Final = "0A"
_LOOPBACK: Final = re.compile(r"[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F")
_SECONDS: Final = 3


def ask(_: Night) -> Iterator[Verdict]:
    """Look for a listener on Flower's port that others reach, and ask it for its page without a password."""
    if not is_open(PORT):
        yield Verdict(_NAME, State.OK, f"port {PORT} is not open to other machines")
        return
    try:
        answer = requests.get(f"http://127.0.0.1:{PORT}/workers", timeout=_SECONDS, allow_redirects=False)
    except requests.RequestException:
        yield Verdict(_NAME, State.OK, f"port {PORT} is open to other machines, but not by Flower")
        return
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        yield Verdict(
            _NAME,
            State.WARNING,
            f"port {PORT} is open to other machines; its password goes over the network as it is",
            "let it listen on 127.0.0.1, behind a proxy with TLS",
        )
        return
    yield Verdict(
        _NAME,
        State.FAULT,
        f"port {PORT} is open to other machines and asks for no password",
        "start it by nightread flower, which listens on 127.0.0.1, or close the port",
    )


def is_open(port: int) -> bool:
    """Return whether something listens on a port at an address that other machines reach."""
    for table in SOCKETS:
        try:
            rows = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for row in rows:
            _, local, _, state = row.split()[:4]
            address, _, number = local.partition(":")
            if state == _LISTENS and int(number, 16) == port and not _LOOPBACK.fullmatch(address):
                return True
    return False
