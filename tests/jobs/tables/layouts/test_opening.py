"""Whatever is below the header of a public set is read, or refused in one line."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from miniatures import MINIATURES

from jobs.tables.errors import TableError
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

HEADERS = [
    content.split("\n")[0] for miniature in MINIATURES.values() for content in miniature.files.values()
]
CELLS = st.sampled_from(
    [
        "",
        "0",
        "1",
        "1.0",
        "-1",
        "nan",
        "PA",
        "a.png",
        "R1",
        "['normal']",
        "No finding",
        "x/patient1/y",
        "{",
        "\\",
    ]
)


@given(
    st.sampled_from(HEADERS), st.lists(st.lists(CELLS, min_size=1, max_size=30), max_size=4), st.booleans()
)
@settings(deadline=None, max_examples=150)
def test_any_rows_below_its_header_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, header: str, rows: list[list[str]], fit: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    width = header.count(",") + 1
    lines = [",".join((row * width)[:width] if fit else row) for row in rows]
    path = folder / "set.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    try:
        names = [row.image_index for row in Manifest(path, ReadOptions(ignore_labels=True), root=str(folder))]
        said = []
    except TableError as error:
        names, said = [], str(error).splitlines()
    assert len(said) == (0 if names else 1)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("option", "value"), [("blank", "ignore"), ("readers", "any")])
def test_an_option_that_a_table_has_no_use_for_is_refused(tmp_path: Path, option: str, value: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text("Image,Mass\na.png,1\n", encoding="utf-8")
    with pytest.raises(TableError, match=re.escape(f"--{option} {value}: the table does not have")):
        Manifest(path, ReadOptions.model_validate({option: value}))
