"""The inventory of a bucket is that of the same files in a folder, and only heads of objects are fetched."""

from pathlib import Path

import pytest
from films import film_of, write_film
from http_server import Answer, Request, serving
from object_store import Bucket
from picture_support import png
from support import Nightread

from jobs.errors import SourceAwayError, SourceError
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.objects import store_inventory
from jobs.inventory.skips import Skip
from jobs.sources.objects import ObjectSource

pytestmark = pytest.mark.processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    write_film(films / "a" / "1.dcm", SOPInstanceUID="1.2.1")
    write_film(films / "a" / "side.dcm", SOPInstanceUID="1.2.2", ViewPosition="LL")
    write_film(films / "b" / "noending", SOPInstanceUID="1.2.3", BurnedInAnnotation="YES")
    (films / "b" / "again.dcm").write_bytes((films / "a" / "1.dcm").read_bytes())
    write_film(films / "b" / "other.dcm", SOPInstanceUID="1.2.3", PatientAge="041Y")
    (films / "preview.png").write_bytes(png(2, 2, bytes(4)))
    (films / "empty.dcm").write_bytes(b"")
    (films / "notes.txt").write_text("no picture", encoding="utf-8")
    return films


def stored(bucket: Bucket, folder: Path, prefix: str) -> ObjectSource:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            bucket.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
    return ObjectSource(f"{bucket.uri}/{prefix}")


def contents(inventory: Inventory) -> tuple[object, ...]:
    return (sorted(inventory.films), sorted(inventory.skipped), inventory.alike)


@pytest.mark.parametrize(
    "choice", [Choice(), Choice(any_view=True), Choice(only_dicom=True, skip_burned_in=True)]
)
def test_a_bucket_has_the_manifest_of_the_same_folder(bucket: Bucket, folder: Path, choice: Choice) -> None:
    source = stored(bucket, folder, "2024/films")
    found: list[int] = []
    looked: list[tuple[int, int]] = []
    of_bucket = store_inventory(
        source, choice, found=found.append, looked=lambda done, of: looked.append((done, of))
    )
    assert of_bucket.root == source.root
    assert contents(of_bucket) == contents(take_inventory(folder, choice, 1))
    assert found[-1] == 7
    assert looked[-1] == (7, 7)
    # Nothing of what lies beside the prefix is in it.
    bucket.put("2024/films-of-others/1.dcm", film_of())
    assert contents(store_inventory(source, choice)) == contents(of_bucket)


def test_of_an_object_only_its_head_is_fetched_and_more_where_the_header_is_long(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, int, int]] = []
    read_range = ObjectSource.read_range

    def noted(source: ObjectSource, name: str, start: int, length: int) -> bytes:
        fetched.append((name, start, length))
        return read_range(source, name, start, length)

    monkeypatch.setattr(ObjectSource, "read_range", noted)
    bucket.put("images/large.dcm", film_of(SOPInstanceUID="1.2.1") + bytes(1 << 21))
    # The header's end lies beyond what is fetched at first.
    bucket.put("images/long.dcm", film_of(SOPInstanceUID="1.2.2", StudyComments="x" * 60_000))
    inventory = store_inventory(ObjectSource(f"{bucket.uri}/images"), Choice())
    assert [film.name for film in inventory.films] == ["large.dcm", "long.dcm"]
    of_large = [length for name, _, length in fetched if name == "large.dcm"]
    assert of_large == [1 << 14]
    assert [start for name, start, _ in fetched if name == "long.dcm"] == [0, 1 << 14]


def test_an_object_that_goes_or_is_refused_meanwhile_is_passed_over_with_its_reason(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("images/a.dcm", film_of(SOPInstanceUID="1.2.1"))
    bucket.put("images/b.dcm", film_of(SOPInstanceUID="1.2.2"))
    listed = ObjectSource.listed

    def with_one_more(source: ObjectSource) -> object:
        found = [*listed(source)]
        return [*found, found[0]._replace(name="gone.dcm")]

    monkeypatch.setattr(ObjectSource, "listed", with_one_more)
    inventory = store_inventory(ObjectSource(f"{bucket.uri}/images"), Choice())
    assert [film.name for film in inventory.films] == ["a.dcm", "b.dcm"]
    assert [(file.name, file.reason) for file in inventory.skipped] == [("gone.dcm", Skip.MISSING)]


@pytest.mark.parametrize(("status", "error"), [(503, SourceAwayError), (403, SourceError)])
def test_a_store_that_is_away_or_refuses_us_is_no_empty_bucket(
    monkeypatch: pytest.MonkeyPatch, status: int, error: type[Exception]
) -> None:
    def answer(_: Request) -> Answer:
        return Answer(status, b"<Error><Code>Nothing</Code></Error>")

    with serving(answer) as host:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setattr("jobs.sources.stores._RETRY", {"max_retries": 0})
        with pytest.raises(error):
            store_inventory(ObjectSource("s3://films/images"), Choice())


def test_the_commands_take_a_prefix_as_they_take_a_folder(
    nightread: Nightread, bucket: Bucket, folder: Path, tmp_path: Path
) -> None:
    root = stored(bucket, folder, "films").root
    done = nightread.call("manifest", f"{root}/", "-o", tmp_path / "m.csv", "--patient-id", "none")
    assert done.returncode == 0, done.stderr
    assert f"--images {root}" in " ".join(done.stdout.split())
    local = nightread.call("manifest", folder, "-o", tmp_path / "local.csv", "--patient-id", "none")
    assert local.returncode == 0
    assert (tmp_path / "m.csv").read_bytes() == (tmp_path / "local.csv").read_bytes()
    assert (tmp_path / "m.skipped.csv").read_bytes() == (tmp_path / "local.skipped.csv").read_bytes()
    order = ("--model", "stub", "--max-missing", "0")
    done = nightread.call("submit", root, *order)
    assert done.returncode == 0, done.stderr
    when = ("schedule", "add", "night", "--cron", "0 2 * * *", "score", root, "--model", "stub")
    assert nightread.call(*when).returncode == 0
    # A table in a store is known by its name.
    bucket.put("films/m.csv", (tmp_path / "m.csv").read_bytes())
    done = nightread.call("submit", f"{root}/m.csv", "--images", root, *order)
    assert done.returncode == 0, done.stderr
    with_since = nightread.call("submit", root, "--since", "2d")
    assert "is for a service" in " ".join(with_since.stderr.split())
