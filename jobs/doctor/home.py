"""The home folder: it can be written, and lies on a disk on which SQLite can work."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from jobs.doctor.mounts import existing, is_network, kind_of, lost_with
from jobs.doctor.verdict import Night, State, Verdict


def sqlite_file(settings: Settings) -> Path | None:
    """Return the file of an SQLite database; None where the database is a server's."""
    file = settings.database.partition("sqlite:///")[2].partition("?")[0]
    return Path(file) if file else None


def unwritable(folder: Path) -> str | None:
    """Say why no file can be written where a folder is, or will be made; None where one can."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)) as file:
            file.write(b"\0")
    except OSError as error:
        return f"cannot be written: {error.strerror or error}"
    return None


def ask(night: Night) -> Iterator[Verdict]:
    """Write an unnamed file where the home is, or will be made, and look at the kind of its disk."""
    home = night.settings.home.absolute()
    refused = unwritable(home)
    if refused:
        yield Verdict(
            "home",
            State.FAULT,
            f"{home} {refused}",
            "let this user write there, or set NIGHTREAD_HOME to another folder",
        )
    else:
        yield Verdict("home", State.OK, f"{home} can be written")
    yield _disk(night.settings)


def _disk(settings: Settings) -> Verdict:
    file = sqlite_file(settings)
    if file is None:
        return Verdict("home's disk", State.OK, "results are in PostgreSQL; home keeps logs and models only")
    kind = kind_of(file)
    if is_network(kind):
        return Verdict(
            "home's disk",
            State.FAULT,
            f"{file} lies on {kind}, a network drive, on which SQLite's log does not work",
            "set NIGHTREAD_HOME to a folder on a local disk, or NIGHTREAD_DATABASE_URL to PostgreSQL",
        )
    lost = lost_with(kind)
    if lost is not None:
        return Verdict(
            "home's disk",
            State.WARNING,
            f"{file} lies on {kind}: its results are lost with {lost}",
            "set NIGHTREAD_HOME to a folder on a disk or a volume",
        )
    return Verdict("home's disk", State.OK, f"{kind}, a local disk")
