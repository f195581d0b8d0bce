"""Patients and UIDs under other names: the same in every run, and only with the key to be found out.

A plain hash of a patient's number is no secret: there are few enough numbers to try them all. With
HMAC-SHA-256 (RFC 2104) that needs the key in the home folder, too.
"""

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, Literal

from config.errors import ConfigError
from config.files import is_full
from jobs.inventory.film import Film

PatientId = Literal["keep", "hash", "none"]
"""What a manifest has in the place of patients' identifiers."""

UidPolicy = Literal["keep", "hash"]
"""What a manifest has in the place of UIDs."""

KEY_FILE: Final = "pseudonym.key"

_KEY_BYTES: Final = 32
_LETTERS: Final = 20
"""Of a pseudonym, 4 bits each: two alike among ten million patients have a chance below 1 in 10^10."""

_UID_BYTES: Final = 16


def key_of(home: Path) -> bytes:
    """Return the key of a home folder, making it if it is new; of two processes that do so, both get one.

    Raises ConfigError for a key that is damaged, that other users may read, or that cannot be made.
    """
    path = home / KEY_FILE
    try:
        if not path.exists():
            _make_key(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4 * _KEY_BYTES)
    except OSError as error:
        if is_full(error):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise ConfigError(
            f"{path}: the key of the pseudonyms cannot be read or made: {error.strerror}"
        ) from None
    if mode & 0o077:
        raise ConfigError(f"{path}: other users may read the key of the pseudonyms; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(content.decode())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigError(
            f"{path} is no key of pseudonyms: it must hold {2 * _KEY_BYTES} hexadecimal digits. Put the copy "
            "that you have of it back; with a new key every patient gets another pseudonym"
        )
    return key


def _make_key(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Made with mode 0600; without a buffer, which on a full disk would be in the way of the file's removal.
    with NamedTemporaryFile(dir=path.parent, prefix=".", buffering=0) as scratch:
        scratch.write(f"{secrets.token_hex(_KEY_BYTES)}\n".encode())
        os.fsync(scratch.fileno())
        try:
            os.link(scratch.name, path)  # whole, and never over one that another process has made meanwhile
        except FileExistsError:
            return


def identified(film: Film, patient_id: PatientId, uid: UidPolicy, key: bytes) -> Film:
    """Return a film with its patient and its UIDs as a manifest shall have them; a blank one stays blank."""
    film = film._replace(patient_id=pseudonym(film.patient_id, patient_id, key))
    if uid == "keep":
        return film
    return film._replace(
        study_uid=_hidden_uid(key, film.study_uid),
        series_uid=_hidden_uid(key, film.series_uid),
        sop_uid=_hidden_uid(key, film.sop_uid),
    )


def pseudonym(patient: str, policy: PatientId, key: bytes) -> str:
    """Return a patient as a manifest shall have it; a blank one stays blank."""
    if policy == "keep" or not patient:
        return patient
    return "" if policy == "none" else f"p{_digest(key, 'patient', patient).hex()[:_LETTERS]}"


def _hidden_uid(key: bytes, uid: str) -> str:
    """Return a UID of the form that 128 random bits have (PS3.5 B.2)."""
    return f"2.25.{int.from_bytes(_digest(key, 'uid', uid)[:_UID_BYTES])}" if uid else ""


def _digest(key: bytes, kind: str, text: str) -> bytes:
    return hmac.digest(key, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), hashlib.sha256)
