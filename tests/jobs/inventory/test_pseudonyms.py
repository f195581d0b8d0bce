"""Pseudonyms: HMAC-SHA-256 with a key that is made once, is closed to others, and is never replaced."""

import hashlib
import hmac
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from config.errors import ConfigError
from jobs.inventory.film import Film
from jobs.inventory.processes import in_processes
from jobs.inventory.pseudonyms import KEY_FILE, identified, key_of

KEY = bytes(range(32))


def film(patient: str, uid: str = "1.2.3") -> Film:
    return Film("film", "DICOM", patient_id=patient, study_uid=uid, series_uid=uid, sop_uid=uid)


def pseudonym(patient: str, key: bytes = KEY) -> str:
    return identified(film(patient), "hash", "keep", key).patient_id


def test_a_pseudonym_is_the_beginning_of_an_hmac() -> None:
    expected = hmac.new(KEY, b"patient\0MRN-4711", hashlib.sha256).hexdigest()
    assert pseudonym("MRN-4711") == f"p{expected[:20]}"


def test_another_patient_or_another_key_gives_another_pseudonym() -> None:
    assert len({pseudonym(str(number)) for number in range(1000)}) == 1000
    assert pseudonym("1", bytes(32)) != pseudonym("1")
    assert pseudonym("") == ""


def test_uids_under_other_names_have_the_form_of_uids() -> None:
    hidden = identified(film("1", "1.2.840.1"), "keep", "hash", KEY)
    assert hidden.patient_id == "1"
    assert hidden.study_uid == hidden.sop_uid  # the same UID is the same again
    root, number = hidden.study_uid.rsplit(".", 1)
    assert root == "2.25"
    assert 2**100 < int(number) < 2**128
    assert len(hidden.study_uid) <= 64
    assert identified(film("1", ""), "keep", "hash", KEY).study_uid == ""


def test_the_key_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "home"
    key = key_of(home)
    assert len(key) == 32
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert key_of(home) == key
    assert [path.name for path in home.iterdir()] == [KEY_FILE]


def test_all_who_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    for attempt in range(50):
        barrier = Barrier(8)

        def make(home: Path, barrier: Barrier = barrier) -> bytes:
            barrier.wait()
            return key_of(home)

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(make, [tmp_path / f"home-{attempt}"] * 8))) == 1


@pytest.mark.processes
def test_all_processes_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    assert len(set(in_processes(key_of, [tmp_path / "home"] * 8, 4))) == 1


@pytest.mark.parametrize("content", ["", "00", "zz" * 32, "00" * 33])
def test_a_damaged_key_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / KEY_FILE
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is no key of pseudonyms"):
        key_of(tmp_path)
    assert path.read_text() == content


def test_a_home_that_cannot_hold_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(ConfigError, match="cannot be read or made"):
        key_of(tmp_path / "home")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    key_of(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        key_of(tmp_path)
