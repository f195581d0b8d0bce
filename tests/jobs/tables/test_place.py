"""A table in an object store is read from a copy, and keeps its own name."""

from pathlib import Path

import pytest
from object_store import Bucket
from sqlalchemy import text
from support import STUB_CARD, Nightread, write_card, write_manifest

from config.settings import Settings
from db.database import Database
from jobs.errors import SourceError
from jobs.schedules.schedule import Score, read_action
from jobs.submit import Order, submit
from jobs.tables.place import local_table, place_of


def test_a_path_is_a_path_and_a_uri_stays_as_it_is(tmp_path: Path) -> None:
    assert place_of("a/b.csv") == Path("a/b.csv")
    assert place_of(tmp_path) == tmp_path
    assert place_of("s3://films/b.csv") == "s3://films/b.csv"
    assert local_table(tmp_path / "a.csv", tmp_path / "home") == tmp_path / "a.csv"
    assert not (tmp_path / "home").exists()


def test_a_schedule_keeps_either(tmp_path: Path) -> None:
    for place in (tmp_path / "a.csv", "s3://films/a.csv"):
        action = Score(manifest=place, images="s3://films", model="stub", heatmaps="none")
        again = read_action(action.model_dump_json())
        assert isinstance(again, Score)
        assert again.order.manifest == place


@pytest.mark.processes
def test_the_same_bytes_are_one_copy_and_other_bytes_another(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("night/a.csv", b"one")
    place = f"{bucket.uri}/night/a.csv"
    first = local_table(place, tmp_path)
    assert (first.name, first.read_bytes()) == ("a.csv", b"one")
    assert local_table(place, tmp_path) == first
    bucket.put("night/a.csv", b"two")
    assert local_table(place, tmp_path).read_bytes() == b"two"
    assert first.read_bytes() == b"one"
    with pytest.raises(SourceError, match=r"night/b\.csv: there is no such object"):
        local_table(f"{bucket.uri}/night/b.csv", tmp_path)


@pytest.mark.processes
def test_a_run_of_a_manifest_in_a_bucket_names_it(bucket: Bucket, sqlite: Database, tmp_path: Path) -> None:
    write_card(tmp_path / "models", STUB_CARD)
    manifest = write_manifest(tmp_path / "manifest.csv", 4)
    bucket.put("manifest.csv", manifest.read_bytes())
    bucket.put("images/any.png", b"x")
    uri = f"{bucket.uri}/manifest.csv"
    run_id = submit(sqlite, Settings(home=tmp_path), Order(uri, f"{bucket.uri}/images", "stub"))
    with sqlite.read() as connection:
        kept = connection.execute(
            text("SELECT manifest, images FROM progress WHERE run_id = :run"), {"run": run_id}
        )
        assert [tuple(row) for row in kept] == [(uri, 4)]


@pytest.mark.processes
def test_a_wrong_cell_is_named_in_the_copy(bucket: Bucket, nightread: Nightread) -> None:
    bucket.put("images/any.png", b"x")
    bucket.put("manifest.csv", b"Image Index,Patient Age\na.png,old\n")
    order = ("submit", f"{bucket.uri}/manifest.csv", "--images", f"{bucket.uri}/images", "--model", "stub")
    done = nightread.call(*order)
    assert done.returncode == 2, done.stderr
    assert "manifest.csv, line 2, column" in " ".join(done.stderr.split())
