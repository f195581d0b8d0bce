"""The manifest: each of its rows can be read, and is an image to score."""

from dataclasses import replace

from config.errors import ConfigError
from jobs.doctor.verdict import Night, State, Verdict
from jobs.errors import InputError, SourceError
from jobs.submit import Order, read_order

_NAME = "manifest"


def read(night: Night, order: Order) -> tuple[Night, Verdict]:
    """Read an order's manifest as `score` does; returns the night with its images, and the line about it."""
    try:
        manifest, _ = read_order(night.settings, order)
        names = tuple(row.image_index for row in manifest)
    except SourceError:
        seen = "it is read once the folder of its images can be"
        return night, Verdict(_NAME, State.UNASKED, seen, "see the line about the images")
    except (InputError, ConfigError) as error:
        return night, Verdict(
            _NAME, State.FAULT, str(error), "mend it, or give the options that `score` needs"
        )
    seen = f"{order.manifest} has {len(names):,} images"
    if manifest.left_out:
        seen += f"; {len(manifest.left_out):,} more are left out for their views"
    return replace(night, images=len(names), names=names), Verdict(_NAME, State.OK, seen)
