"""The files of a case of volumes: one with all channels or one per channel, and the case's label."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from config.cards.segmentation import CHANNEL_SPELLINGS
from jobs.tables.cells import is_unknown
from jobs.tables.columns import ABSENT, ColumnError, Header, check_image, plain_name

LABEL: Final = "Label"
"""What a case's label is among its files."""

_LABEL_NAMES: Final = (LABEL, "Mask", "Segmentation", "Seg", "Ground Truth")


def case_files(header: Header, channels: Sequence[str]) -> dict[str, int]:
    """Return which column has which of a case's files: each channel where they have columns, and the label.

    `channels` are the model's, none of a model of other images. Raises ColumnError where some channels have
    columns and others have none.
    """
    if not channels:
        return {}
    found = {channel: header.find(channel, *CHANNEL_SPELLINGS.get(channel, ())) for channel in channels}
    lacking = [channel for channel, index in found.items() if index == ABSENT]
    files = {} if len(lacking) == len(channels) else found
    if files and lacking:
        header.fail(f"there is no column for {', '.join(lacking)}", f"The model reads {', '.join(channels)}.")
    label = header.find(*_LABEL_NAMES)
    return files | ({} if label == ABSENT else {LABEL: label})


def files_cell(fields: Sequence[str], files: Mapping[str, int], root: str) -> str | None:
    """Return a record's files as the database keeps them; a case may have no label, but no channel less.

    Raises ColumnError where a channel's cell is blank, or a name cannot be one.
    """
    named: dict[str, str] = {}
    for what, index in files.items():
        cell = fields[index]
        if is_unknown(cell):
            if what == LABEL:
                continue
            raise ColumnError("the file's name is blank", f"Each case needs a file of {what}.", what)
        check_image(what, cell)
        named[what] = plain_name(cell, root)
    return json.dumps(named, ensure_ascii=False) if named else None
