"""What a person who hands in a manifest may rely on."""

import gzip
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.findings import FINDINGS
from db.manifests import ManifestRow
from jobs.errors import JobsError
from jobs.tables.errors import TableError
from jobs.tables.files.text import TextFile
from jobs.tables.manifest import Manifest
from jobs.tables.reading import ReadOptions

Write = Callable[..., Path]
Options = dict[str, Any]

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
NIH_TAIL = "2682,2749,0.143,0.143"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a manifest and returns its path."""

    def write_manifest(content: str | bytes, name: str = "chest.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_manifest


@pytest.fixture
def real(real_data: Path) -> Path:
    """Return the folder of NIH's own manifests."""
    return real_data / "nih"


def failure(path: Path, **options: Any) -> TableError:
    with pytest.raises(TableError) as caught:
        list(Manifest(path, ReadOptions(**options)))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


def nih(*rows: str) -> str:
    return "\n".join([NIH_HEADER, *(f"{row},{NIH_TAIL}" for row in rows)]) + "\n"


def ones(manifest: Manifest, row: ManifestRow) -> set[str]:
    return {finding for finding, label in zip(manifest.findings, row.labels, strict=True) if label == "1"}


# --- layouts


def test_nih_row_is_read_whole(write: Write) -> None:
    manifest = Manifest(write(nih("00000001_001.png,Cardiomegaly|Emphysema,1,1,58,M,PA")))
    assert manifest.findings == FINDINGS
    (row,) = manifest
    assert row == ManifestRow("00000001_001.png", "1", 1, "PA", "M", 58.0, "01000000001000")
    assert ones(manifest, row) == {"Cardiomegaly", "Emphysema"}


@pytest.mark.parametrize(
    ("cell", "labels"),
    [("No Finding", "0" * 14), ("", "-" * 14), (" ", "-" * 14), ("Hernia", "0" * 13 + "1")],
)
def test_no_finding_is_all_absent_and_a_blank_cell_is_all_unknown(
    write: Write, cell: str, labels: str
) -> None:
    (row,) = Manifest(write(nih(f"a.png,{cell},0,1,58,M,PA")))
    assert row.labels == labels


@pytest.mark.parametrize("name", ["Pleural Thickening", "Pleural_Thickening", "pleural_thickening"])
def test_both_spellings_of_pleural_thickening_are_understood(write: Write, name: str) -> None:
    manifest = Manifest(write(nih(f"a.png,Mass|{name},0,1,58,M,PA")))
    assert ones(manifest, next(iter(manifest))) == {"Mass", "Pleural_Thickening"}


def test_unnamed_last_column_of_the_2017_release_is_tolerated_with_and_without_its_comma(
    write: Write,
) -> None:
    rows = (f"a.png,Mass,0,1,058Y,M,PA,{NIH_TAIL},", f"b.png,Mass,0,1,058Y,M,PA,{NIH_TAIL}")
    manifest = Manifest(write("\n".join([NIH_HEADER + ",", *rows])))
    assert [row.age_years for row in manifest] == [58.0, 58.0]


def test_course_layout_has_one_column_per_finding_and_the_patient_between_them(write: Write) -> None:
    path = write("Image,Mass,PatientId,Effusion,Pleural Thickening\na.png,1,17,0,\n")
    manifest = Manifest(path)
    assert manifest.findings == ("Effusion", "Mass", "Pleural_Thickening")
    assert list(manifest) == [ManifestRow("a.png", "17", None, None, None, None, "01-")]


@pytest.mark.parametrize(
    "column", ["Image Index", "Image", "image", "image_path", "path", "filename", "file", "Path", "FILE"]
)
def test_common_names_of_the_image_column_are_recognised(write: Write, column: str) -> None:
    (row,) = Manifest(write(f"Mass,{column}\n1,train/a.png\n"))
    assert (row.image_index, row.labels) == ("train/a.png", "1")


def test_common_names_of_the_other_columns_are_recognised(write: Write) -> None:
    (row,) = Manifest(write("path,subject_id,Sex,Age,AP/PA,follow_up\na.png,s 1,female,7,ap,3\n"))
    assert row == ManifestRow("a.png", "s 1", 3, "AP", "F", 7.0, "")


def test_archive_without_labels_is_fine(write: Write) -> None:
    manifest = Manifest(write("file\na.png\nb.png\n"))
    assert manifest.findings == ()
    assert list(manifest) == [ManifestRow("a.png"), ManifestRow("b.png")]
    assert [row.labels for row in manifest] == ["", ""]


def test_options_name_the_image_column_and_the_finding_columns(write: Write) -> None:
    path = write("Image,scan,opacity,Mass\nx,a.png,1,0\n")
    manifest = Manifest(path, ReadOptions(image_column="scan", finding_columns={"opacity": "pneumonia"}))
    assert manifest.findings == ("Mass", "Pneumonia")
    assert [(row.image_index, row.labels) for row in manifest] == [("a.png", "01")]


def test_finding_columns_keep_the_order_of_the_option(write: Write) -> None:
    path = write("Image,a,b\nx.png,1,0\n")
    manifest = Manifest(path, ReadOptions(finding_columns={"b": "Mass", "a": "Lung Lesion"}))
    assert (manifest.findings, next(iter(manifest)).labels) == (("Mass", "Lung Lesion"), "01")


def test_a_finding_column_takes_the_place_of_the_list_for_its_finding(write: Write) -> None:
    path = write("Image,Finding Labels,read\na.png,Mass,0\n")
    manifest = Manifest(path, ReadOptions(finding_columns={"read": "Mass"}))
    assert (manifest.findings, ones(manifest, next(iter(manifest)))) == (FINDINGS, set())


# --- cells


def test_labels_may_be_integers_floats_or_blank(write: Write) -> None:
    path = write(
        "Image,Mass\n" + "".join(f"{n}.png,{c}\n" for n, c in enumerate(["0", "1", "0.0", "1.0", ""]))
    )
    assert "".join(row.labels for row in Manifest(path)) == "0101-"


@pytest.mark.parametrize(
    ("cell", "years"),
    [
        ("60", 60.0),
        ("060Y", 60.0),
        ("58.5", 58.5),
        ("011M", 11 / 12),
        ("002W", 14 / 365.25),
        ("012D", 12 / 365.25),
        ("", None),
    ],
)
def test_age_is_in_years_whatever_the_file_counts(write: Write, cell: str, years: float | None) -> None:
    (row,) = Manifest(write(f"Image,Age\na.png,{cell}\n"))
    assert row.age_years == (None if years is None else pytest.approx(years))


@pytest.mark.parametrize(
    ("cell", "sex"), [("F", "F"), ("male", "M"), ("o", "O"), ("", None), ("Unknown", None)]
)
def test_sex_is_one_letter_or_nothing(write: Write, cell: str, sex: str | None) -> None:
    (row,) = Manifest(write(f"Image,Sex\na.png,{cell}\n"))
    assert row.sex == sex


def test_image_name_is_kept_as_written(write: Write) -> None:
    (row,) = Manifest(write('Image\n"Müller, A/ä b.png"\n'))
    assert row.image_index == "Müller, A/ä b.png"


# --- files


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_byte_order_mark_and_gzip_do_not_change_the_rows(
    write: Write, end: str, mark: bytes
) -> None:
    content = mark + end.join(["Image,Mass", "a.png,1", "", "b.png,0"]).encode()
    plain, packed = Manifest(write(content)), Manifest(write(gzip.compress(content), "chest.csv.gz"))
    assert list(plain) == list(packed)
    assert [(row.image_index, row.labels) for row in plain] == [("a.png", "1"), ("b.png", "0")]
    assert [line for line, _ in TextFile(plain.path).records()] == [1, 2, 4]


def test_line_is_where_the_record_starts(write: Write) -> None:
    path = write('Image,note,Mass\na.png,"one, two\nthree\n",1\n\n\nb.png,"four\nfive",0\nc.png,,2\n')
    assert [line for line, _ in TextFile(path).records()] == [1, 2, 7, 9]
    rows = iter(Manifest(path))
    assert [next(rows).image_index, next(rows).image_index] == ["a.png", "b.png"]
    with pytest.raises(TableError) as caught:
        next(rows)
    assert caught.value.line == 9


def test_manifest_may_be_iterated_twice_and_abandoned_halfway(write: Write) -> None:
    manifest = Manifest(write("Image\na.png\nb.png\n"))
    next(iter(manifest))
    assert list(manifest) == list(manifest)


def test_fingerprint_changes_with_the_bytes_and_with_the_options(write: Write) -> None:
    path = write("Image,scan,Mass\na,b,1\n")
    prints = [
        Manifest(path).fingerprint(),
        Manifest(path, ReadOptions(image_column="scan")).fingerprint(),
        Manifest(path, ReadOptions(finding_columns={"Mass": "Nodule"})).fingerprint(),
        Manifest(path, ReadOptions(uncertain="positive")).fingerprint(),
        Manifest(write("Image,scan,Mass\na,b,0\n")).fingerprint(),
    ]
    assert len(set(prints)) == len(prints)
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in prints)
    assert Manifest(write("Image,scan,Mass\na,b,1\n", "copy.csv")).fingerprint() == prints[0]


# --- errors


def test_error_names_file_line_column_and_what_to_do(write: Write) -> None:
    path = write("Image,Mass\n" + "".join(f"{n}.png,0\n" for n in range(5)) + "x.png,2\n")
    error = failure(path)
    assert (error.path, error.line, error.column) == (path, 7, "Mass")
    assert error.problem == "label '2' is none of 0, 1 and blank"
    assert str(error) == (
        f"{path}, line 7, column 'Mass': label '2' is none of 0, 1 and blank. "
        "Write 1 for present, 0 for absent, nothing for unknown."
    )
    assert isinstance(error, JobsError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - written one line above


@pytest.mark.parametrize(
    ("content", "line", "column", "words"),
    [
        ("", None, None, "the file is empty"),
        ("\n\r\n \n", None, None, "the file is empty"),
        ("Image,Mass\n", None, None, "no row"),
        ("Name,Mass\na,1\n", 1, None, "'Name, Mass'. Name it with --image-column"),
        ("Image Mass\na 1\n", 1, None, "separated by commas, semicolons or tabs"),
        ("a.png,1\nb.png,0\n", 1, None, "the first line names an image"),
        ("\n\nName\na\n", 3, None, "no column"),
        ("Image,Mass,mass\na,1,1\n", 1, "Mass", "'Mass' and 'mass'"),
        ("Image,image\na,1\n", 1, "Image", "2 columns have the same name"),
        ("Image,Mass\n\na,1,0\n", 3, None, "number of fields is 3, in the header 2"),
        ("Image,Mass\na\n", 2, None, "number of fields is 1, in the header 2"),
        ("Image,Mass\n,1\n", 2, "Image", "blank"),
        ("Image,Mass\n  ,1\n", 2, "Image", "blank"),
        ('Image,Mass\n"a\nb",1\n', 2, "Image", r"'a\nb' holds a control character"),
        ("Image,Mass\na\x1b[2J,1\n", 2, "Image", "control character"),
        ("Image,Mass\na,-2\n", 2, "Mass", "none of 0, 1 and blank"),
        ("Image,Mass\na,yes\n", 2, "Mass", "none of 0, 1 and blank"),
        ("Image,Age\na,old\n", 2, "Age", "not an age"),
        ("Image,Age\na,-3\n", 2, "Age", "not an age"),
        ("Image,Sex\na,1\n", 2, "Sex", "none of F, M, O"),
        ("Image,Follow-up #\na,1.5\n", 2, "Follow-up #", "not a whole number"),
        ("Image\na\nb\n\na\n", 5, "Image", "'a' was already on line 2"),
        ('Image,Mass\na,1\nb,"1\nc,0\n', 3, None, "quoting"),
        ('Image,Mass\na,1\n"b"x,1\n', 3, None, "quoting"),
        ('Image,Mass\na,1\n\n"b\n' + "c,1\n" * 50_000, 4, None, "quoting"),
        (nih("a,Mas,0,1,58,M,PA"), 2, "Finding Labels", "'Mas' is none of the 14"),
        (nih("a,Mass|,0,1,58,M,PA"), 2, "Finding Labels", "'' is none of the 14"),
        (nih("a,No Finding|Mass,0,1,58,M,PA"), 2, "Finding Labels", "says No Finding and names"),
        ("Image,Mass\na,1\nb\x00,1\n", 3, None, "not a text CSV"),
        (b"Image,Mass\na,1\nb\xff,1\n", 3, None, "not a text CSV"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 1, None, "not a text CSV"),
        (bytes(3 << 20), 1, None, "not a text CSV"),
        ("Image\na\n" + "b," * (1 << 20), 3, None, "not a text CSV"),
        (gzip.compress(b"Image,Mass\na,1\n", mtime=0), 1, None, "must end in .csv.gz"),
    ],
)
def test_bad_manifest_is_refused_with_its_place(
    write: Write, content: str | bytes, line: int | None, column: str | None, words: str
) -> None:
    error = failure(write(content))
    assert (error.line, error.column) == (line, column)
    assert words in str(error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_column": "scan"}, "no column 'scan'; the columns are 'Image, Mass'"),
        ({"finding_columns": {"Mas": "Mass"}}, "no column 'Mas'; the columns are 'Image, Mass'"),
        ({"finding_columns": {"Mass": " "}}, "blank"),
        ({"finding_columns": {"Mass": "Mass", "Image": "mass"}}, "second column, 'Image'"),
    ],
)
def test_option_that_does_not_fit_the_header_is_refused(write: Write, options: Options, words: str) -> None:
    error = failure(write("Image,Mass\na,1\n"), **options)
    assert error.line == 1
    assert words in str(error)


def test_blank_option_does_not_name_a_blank_column(write: Write) -> None:
    assert "no column ''" in str(failure(write("Image,,Mass\na,b,1\n"), image_column=""))


def test_exact_name_in_an_option_wins_over_its_likes(write: Write) -> None:
    (row,) = Manifest(write("Scan,scan\na,b\n"), ReadOptions(image_column="scan"))
    assert row.image_index == "b"


def test_columns_that_are_not_used_may_have_the_same_name(write: Write) -> None:
    assert len(list(Manifest(write("Image,note,note\na,x,y\n")))) == 1


def test_long_cell_is_cut_in_the_message(write: Write) -> None:
    assert len(str(failure(write(f"Image,Mass\na,{'9' * 100_000}\n")))) < 400


def test_compressed_file_cut_short_is_refused(write: Write) -> None:
    content = "Image\n" + "".join(f"{n * 7919 % 99991}.png\n" for n in range(20_000))
    error = failure(write(gzip.compress(content.encode())[:-20], "chest.csv.gz"))
    assert "compressed data end early" in str(error)


def test_plain_file_named_gz_is_refused(write: Write) -> None:
    assert "compressed data are damaged" in str(failure(write("Image\na\n", "chest.csv.gz")))


def test_missing_file_directory_and_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "no such file" in str(failure(tmp_path / "none.csv"))
    assert "this is a directory" in str(failure(tmp_path))
    assert "not a regular file" in str(failure(tmp_path / "pipe"))
    assert "cannot be read" in str(failure(tmp_path / "a\0.csv"))


def test_file_without_permission_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    path = write("Image\na\n")
    monkeypatch.setattr("builtins.open", refuse)  # root may read everything, so chmod would show nothing
    assert "no permission" in str(failure(path))


def test_file_removed_or_changed_between_two_readings_is_noticed(write: Write) -> None:
    path = write("Image,Mass\na,1\n")
    manifest = Manifest(path)
    write("Image,Edema\na,1\n")
    with pytest.raises(TableError, match="header changed"):
        list(manifest)
    path.unlink()
    for read in (lambda: list(manifest), manifest.fingerprint):
        with pytest.raises(TableError, match="no such file"):
            read()


# --- any bytes

PIECES = st.sampled_from(
    [
        *("Image", "Mass", "Finding Labels", "Age", "Sex", "No Finding", "a.png", "b.png"),
        *("0", "1", "1.0", "-1", "060Y", "\ufeff", "\0", "é", "\u2028", "\x85", "²"),
        *(",", ",", "\n", "\n", "\r", "\r\n", '"', '""', "|", " "),
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)
CSVS = st.builds("{}\n{}".format, st.sampled_from(["Image,Mass", NIH_HEADER, "Image,Age,Sex"]), TEXTS)
CONTENTS = st.one_of(st.binary(max_size=200), TEXTS.map(str.encode), CSVS.map(str.encode))
OPTIONS = st.fixed_dictionaries(
    {}, optional={"image_column": PIECES, "finding_columns": st.dictionaries(PIECES, PIECES, max_size=3)}
)


def read_or_refuse(path: Path, content: bytes, options: Options) -> None:
    path.write_bytes(content)
    rows: list[ManifestRow] = []
    try:
        manifest = Manifest(path, ReadOptions(**options))
        rows = list(manifest)
    except TableError as error:
        message = str(error)
    else:
        message = ""
        assert rows
        assert all(re.fullmatch(f"[01-]{{{len(manifest.findings)}}}", row.labels) for row in rows)
        assert len({row.image_index for row in rows}) == len(rows)
    assert len(message.splitlines()) == (0 if rows else 1)


@given(CONTENTS, OPTIONS)
@settings(deadline=None, max_examples=400)
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, options: Options
) -> None:
    read_or_refuse(tmp_path_factory.getbasetemp() / "any.csv", content, options)


@given(CONTENTS, st.binary(max_size=3), st.integers(0, 60), st.booleans())
@settings(deadline=None, max_examples=200)
def test_any_compressed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, damage: bytes, at: int, whole: bool
) -> None:
    packed = gzip.compress(content, mtime=0)
    packed = packed if whole else packed[:at] + damage + packed[at + 1 :]
    read_or_refuse(tmp_path_factory.getbasetemp() / "any.csv.gz", packed, {})


# --- the real thing


def test_whole_nih_manifest_is_read(real: Path) -> None:
    path = real / "Data_Entry_2017_v2020.csv.gz"
    rows = list(Manifest(path))
    assert (len(rows), len({row.patient_id for row in rows})) == (112_120, 30_805)
    assert rows[0] == ManifestRow("00000001_000.png", "1", 0, "PA", "M", 57.0, "01000000000000")
    assert max(line for line, _ in TextFile(path).records()) == 112_121
    assert {(row.sex, row.view_position) for row in rows} == {(s, v) for s in "FM" for v in ("AP", "PA")}
    assert sum(row.labels == "0" * 14 for row in rows) == 60_361  # Wang et al. 2017: No Finding


def test_nih_and_course_manifests_of_the_same_images_agree(real: Path) -> None:
    by_name, by_column = Manifest(real / "Data_Entry.csv"), Manifest(real / "course.csv")
    assert by_name.findings == by_column.findings

    def known(manifest: Manifest) -> list[tuple[str, str | None, str]]:
        return [(row.image_index, row.patient_id, row.labels) for row in manifest]

    assert known(by_name) == known(by_column)
    assert len(known(by_name)) == 120


def test_pneumonia_manifest_is_read(real: Path) -> None:
    manifest = Manifest(real.parent / "pneumonia" / "train.csv")
    assert (manifest.findings, len(list(manifest))) == (("Pneumonia",), 2_400)
