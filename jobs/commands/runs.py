"""Which run a person means: its number, `last`, or the name of its model or manifest."""

from typing import Final

import typer

_LAST: Final = "last"
LARGEST_NUMBER: Final = 2**63 - 1
"""Databases keep the numbers of runs and evaluations in 64 bits."""


def find_run(word: str) -> int:
    """Return the number of the run that a word on the command line means, which is not deleted.

    Of a number only this is checked. `last` is the newest run; any other word is the name of a model, or that
    of a manifest's file with or without its ending, and means the newest run of it. Raises UnknownRunError.
    """
    return _find(word, deleted=False)


def find_any_run(word: str) -> int:
    """Return the number of the run that a word means, as `find_run`; a number may be a deleted run's."""
    return _find(word, deleted=True)


def _find(word: str, *, deleted: bool) -> int:
    number = None
    if word.isascii() and word.isdigit():
        number = int(word)
        if not 0 < number <= LARGEST_NUMBER:
            raise typer.BadParameter(f"{word} is no run's number; see: nightread status")
        if deleted:
            return number
    # A command's help needs no database.
    from db.queries import newest_run, require_there  # noqa: PLC0415
    from jobs.commands.session import existing  # noqa: PLC0415

    _, database = existing()
    try:
        if number is None:
            return newest_run(database, None if word == _LAST else word)
        require_there(database, number)
        return number
    finally:
        database.dispose()
