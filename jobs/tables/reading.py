"""How a manifest is to be read, and saying what was taken of it: nothing is passed over without a word."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict

from db.manifests import Reading
from jobs.tables.case_files import LABEL
from jobs.tables.columns import shown
from jobs.tables.label_columns import Uncertain
from jobs.tables.place import PlaceField, local_table

View = Literal["frontal", "all"]
"""Which images of a manifest are taken, by their views."""

Blank = Literal["ignore", "negative"]
"""What a label that a report does not mention counts as: unknown or absent."""

_NAME_SHOWN: Final = 100
"""Letters of a column's name; those of a template for images are many."""

_NAMES_SHOWN: Final = 12
"""Of columns that are not used and that resemble nothing; the rest are counted."""


class ReadOptions(BaseModel):
    """What a person says about a table: which column is which, and what its cells mean.

    `finding_columns`: column -> finding, beside those that are recognised. `uncertain`: what -1 counts as.
    `ignore_labels`: whether a list may name findings that the model does not have. `encoding`: of a CSV.
    `sheet`: of a workbook. `layout`: the public set that it is of, "plain" for none, None where its columns
    say it. `join`: further tables. `split`: the part of the set that is taken. `image_name`: a template.
    `blank`: what a blank label of CheXpert's labeler counts as. `readers`: how several readers' labels become
    one. `view`: which images are taken, by their views; None for what a model's card says, all if it says
    nothing.
    """

    model_config = ConfigDict(frozen=True)

    image_column: str | None = None
    patient_column: str | None = None
    view_column: str | None = None
    sex_column: str | None = None
    age_column: str | None = None
    finding_columns: dict[str, str] | None = None
    uncertain: Uncertain = "ignore"
    ignore_labels: bool = False
    encoding: str | None = None
    sheet: str | None = None
    layout: str | None = None
    join: tuple[PlaceField, ...] = ()
    split: str | None = None
    image_name: str | None = None
    blank: Blank = "negative"
    readers: str = "majority"
    view: View | None = None

    def fetched(self, home: Path) -> Self:
        """Return them with copies in the home folder of the tables that lie in a store.

        Raises as `local_table` does.
        """
        return self.model_copy(update={"join": tuple(local_table(place, home) for place in self.join)})

    def told(self) -> dict[str, object]:
        """Return the options that differ from their defaults, as JSON's types."""
        return self.model_dump(mode="json", include=set(ReadOptions.model_fields), exclude_defaults=True)


def reading_lines(path: Path, reading: Reading) -> list[str]:
    """Say in a few lines what was taken of a manifest and what was not."""
    facts = ", ".join(f"{what} from {shown(name, _NAME_SHOWN)}" for what, name in reading.columns.items())
    read_as = f", read as {reading.layout}" if reading.layout else ""
    said = [f"{path.name}{read_as}: {facts}", _labels(reading)]
    if reading.words:
        words = ", ".join(f"{shown(word)} is {finding}" for word, finding in reading.words.items())
        said.append(f"words for findings: {words}")
    if reading.unused:
        said.append(f"not used: {_unused(reading.unused)}")
    return [*said, *reading.remarks]


def _labels(reading: Reading) -> str:
    if LABEL in reading.columns:
        return f"labels: volumes from {shown(reading.columns[LABEL])}"
    if not reading.labels:
        return "no labels: no column is recognised as a finding's; name them with --finding-column"
    columns: dict[str, list[str]] = {}
    for finding, column in reading.labels.items():
        columns.setdefault(column, []).append(finding)
    parts = []
    for column, findings in columns.items():
        if len(findings) > 1:
            parts.append(f"{len(findings)} findings from {shown(column)}")
        else:
            parts.append(findings[0] if column == findings[0] else f"{findings[0]} from {shown(column)}")
    text = f"labels: {', '.join(parts)}"
    return f"{text}; none for {', '.join(reading.unlabelled)}" if reading.unlabelled else text


def _unused(columns: Mapping[str, str | None]) -> str:
    near = [f"{shown(name)} ({hint})" for name, hint in columns.items() if hint]
    others = [shown(name) for name, hint in columns.items() if not hint]
    if len(others) > _NAMES_SHOWN:
        others = [*others[:_NAMES_SHOWN], f"and {len(others) - _NAMES_SHOWN} more"]
    return ", ".join([*near, *others])
