"""The home folder's two lines, of folders that can be used and that cannot."""

from pathlib import Path

import pytest

from config.settings import Settings
from jobs.doctor import home
from jobs.doctor.verdict import Night, State, Verdict


def asked(settings: Settings) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in home.ask(Night(settings))}


def test_a_home_that_is_there_or_can_be_made_is_as_it_must_be_and_is_not_made(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "not" / "yet"):
        found = asked(Settings(home=folder))
        assert found["home"].state is State.OK
        assert str(folder) in found["home"].seen
    assert not any(tmp_path.iterdir())


def test_a_home_below_a_file_and_one_where_nobody_may_write_are_faults(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "home", Path("/proc/nope")):
        found = asked(Settings(home=folder))["home"]
        assert found.state is State.FAULT
        assert str(folder) in found.seen
        assert "NIGHTREAD_HOME" in found.advice


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("ext4", State.OK),
        ("nfs4", State.FAULT),
        ("cifs", State.FAULT),
        ("fuse.sshfs", State.FAULT),
        ("tmpfs", State.WARNING),
        ("overlay", State.WARNING),
    ],
)
def test_the_kind_of_disk_decides_whether_sqlite_can_lie_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, state: State
) -> None:
    monkeypatch.setattr(home, "kind_of", lambda _: kind)
    found = asked(Settings(home=tmp_path))["home's disk"]
    assert found.state is state
    assert kind in found.seen
    assert bool(found.advice) is (state is not State.OK)


def test_with_postgresql_the_homes_disk_may_be_of_any_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(home, "kind_of", lambda _: "nfs4")
    settings = Settings.model_validate({"home": tmp_path, "database_url": "postgresql://me@there/nightread"})
    assert asked(settings)["home's disk"].state is State.OK
