"""The images' root: it is there, and this user may read it."""

from collections.abc import Iterator

from jobs.doctor.verdict import Night, State, Verdict
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.source import open_source


def ask(night: Night) -> Iterator[Verdict]:
    """Open the root, if one was named."""
    if night.root is None:
        yield Verdict("images", State.UNASKED, "no folder was named", "name it: --images DIR")
        return
    try:
        source = open_source(night.root)
        source.require()
    except SourceAwayError as error:
        yield Verdict("images", State.FAULT, str(error), "wait until its server answers, or see to it")
    except SourceError as error:
        yield Verdict(
            "images", State.FAULT, str(error), "mount it, name another folder, or let this user read it"
        )
    else:
        yield Verdict("images", State.OK, f"{source.root} can be read")
