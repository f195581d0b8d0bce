"""The images: their root is there, this user may read it, and those of a manifest lie below it."""

from collections.abc import Iterator
from typing import Final

from jobs.doctor.verdict import Night, State, Verdict
from jobs.errors import SourceAwayError, SourceError
from jobs.images import ImagesError, look_up
from jobs.sources.source import open_source

_NAME: Final = "images"


def ask(night: Night) -> Iterator[Verdict]:
    """Open the root, if one was named, and look the images up, where a manifest names them."""
    if night.root is None:
        yield Verdict(_NAME, State.UNASKED, "no folder was named", "name it: --images DIR")
        return
    try:
        source = open_source(night.root)
        source.require()
        missing = look_up(source, night.names, len(night.names))
    except SourceAwayError as error:
        yield Verdict(_NAME, State.FAULT, str(error), "wait until its server answers, or see to it")
    except SourceError as error:
        yield Verdict(
            _NAME, State.FAULT, str(error), "mount it, name another folder, or let this user read it"
        )
    except ImagesError as error:
        yield Verdict(_NAME, State.FAULT, f"{error.outline}: {error.examples}", error.advice)
    else:
        if missing:
            advice = "put them there, or let them fail: the others are scored"
            yield Verdict(_NAME, State.WARNING, missing[0], advice)
        else:
            there = f", and all {len(night.names):,} images are there" if night.names else ""
            yield Verdict(_NAME, State.OK, f"{source.root} can be read{there}")
