"""Images in an object store: a bucket of S3 or of what speaks its language, of Google Cloud or of Azure.

Credentials come from the environment or from the machine, as the store's library finds them. None is part of
a root, and so none is in a row, a log or a report.
"""

import http
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Final, NamedTuple

from config.content import Content
from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.lasting import LastingFaults
from jobs.sources.lookup import UP, Lookup, found_below, near, sampled, use_root
from jobs.sources.parts import bounded_parts
from jobs.sources.stores import NOTHING, is_odd_key, open_store, outline, redirected_to

if TYPE_CHECKING:
    from obstore import ObjectMeta

    from jobs.sources.stores import Store

_ROOT: Final = re.compile(r"(s3|gs|az)://([A-Za-z0-9][A-Za-z0-9._-]*)(?:/(.+))?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_MOST_KEY_BYTES: Final = 1024  # of all three stores

_FEW: Final = 500
"""Names that are asked for one by one; to find more of them the bucket is listed, a thousand at a time."""

_ASKED: Final = 10
"""Missing names that are asked for below other prefixes."""

_HINTED: Final = 20_000
"""Objects below the root among which missing names are looked for."""

_REDIRECT_SECONDS: Final = 60.0

_ABSENT: Final = {"NoSuchKey", "BlobNotFound"}


class StoredObject(NamedTuple):
    """An object as a store lists it: its name below the root, and its bytes."""

    name: str
    size: int


class ObjectSource:
    """Objects below a prefix of a bucket: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix."""

    only_dicom = False
    readers: Final = 32

    def __init__(self, root: str) -> None:
        """Take the root, without asking the store; SourceError for what cannot be one."""
        scheme = root.partition("://")[0]
        if "@" in root or "?" in root:
            # It is not repeated: it may hold a password.
            raise SourceError(
                f"{scheme}://…: a bucket is named without credentials and without a query; credentials come "
                "from the environment, see docs/object-stores.md"
            )
        self.root = root.rstrip("/")
        found = _ROOT.fullmatch(self.root)
        if not found or not _is_key(found[3] or "-"):
            raise SourceError(f"{root}: this is no bucket; it is written as {scheme}://BUCKET/PREFIX")
        self._scheme, self._bucket, self._prefix = found[1], found[2], found[3] or ""
        self._lasting = LastingFaults()
        self._asked = float("-inf")
        self._asking = Lock()

    def require(self) -> None:
        """Raise SourceError unless there is an object below the root and it may be listed.

        Raises SourceAwayError where that passes.
        """
        import obstore  # noqa: PLC0415  # a tenth of a second that folders need not pay

        store = self._store()
        if host := redirected_to(store):
            raise SourceError(f"{self.root}: the store sends its readers to {host}, and that is not followed")
        try:
            first = next(iter(obstore.list(store)), [])
        except Exception as error:  # noqa: BLE001  # the library's errors have no narrower base
            if is_odd_key(error):
                return
            raise self._fault(error, begun=False) from None
        if not first:
            raise SourceError(f"{self.root}: there is no object below it; see --images")

    def look_up(self, names: Collection[str]) -> Lookup:
        """Find the names without an object below the root, and what may be meant; raises SourceAwayError."""
        keys = self._listed() if len(names) > _FEW else None
        if keys is None:
            with ThreadPoolExecutor(self.readers) as pool:
                there = pool.map(self._has, names)
                missing = [name for name, found in zip(names, there, strict=True) if not found]
        else:
            absent = {self._below(name) for name in names} - keys
            absent -= _prefixes(keys, absent)
            missing = [name for name in names if self._below(name) in absent]
        return Lookup(missing, self._hint(missing, keys) if missing else "")

    def parts(self, name: str) -> Sequence[str]:
        """Return the objects below a prefix; see ImageSource."""
        key = self._key(name)
        self._refuse_redirect()
        found = self._keys_below(key)
        first = next(found, None)
        return (name,) if first is None else bounded_parts(chain((first,), found))

    def read(self, name: str, max_bytes: int) -> Content:
        """Read one object below the root; see ImageSource."""
        import obstore  # noqa: PLC0415

        key = self._key(name)
        self._refuse_redirect()
        try:
            answer = obstore.get(self._store(), key)
            size = answer.meta["size"]
            data = answer.bytes().to_bytes() if 0 < size <= max_bytes else b""
        except Exception as error:  # noqa: BLE001
            said = outline(error, self._scheme)
            if said.status is not None and said.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
                self._lasting.refuse(key, said.answered, self._gives)
            raise self._fault(error, begun=True) from None
        self._lasting.given(key)
        if size == 0:
            raise ImageUnusableError(Reason.EMPTY, "the object has 0 bytes")
        if size > max_bytes:
            raise ImageUnusableError(Reason.TOO_LARGE, f"the object has {size:,} bytes")
        if len(data) != size:
            raise SourceAwayError(f"{self.root}: the connection to it breaks")
        return Content(data, _tag(answer.meta))

    def tag(self, name: str) -> str | None:
        """Ask for an object's tag; None where the store does not tell it: reading says why."""
        import obstore  # noqa: PLC0415

        self._refuse_redirect()
        try:
            return _tag(obstore.head(self._store(), self._key(name)))
        except Exception:  # noqa: BLE001
            return None

    def listed(self) -> Iterator[StoredObject]:
        """Yield the objects below the root; SourceError for one that the library cannot name."""
        import obstore  # noqa: PLC0415

        try:
            for chunk in obstore.list(self._store(), chunk_size=1_000):
                for found in chunk:
                    yield StoredObject(found["path"], found["size"])
        except Exception as error:  # noqa: BLE001
            if is_odd_key(error):
                raise SourceError(
                    f"{self.root}: it cannot be listed: there is a key below it with an empty part (a//b) or "
                    "one of dots; name a prefix without such keys"
                ) from None
            raise self._fault(error, begun=True) from None

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Read a part of an object that is long enough; raises as `read` does."""
        import obstore  # noqa: PLC0415

        try:
            data = obstore.get_range(self._store(), self._key(name), start=start, length=length).to_bytes()
        except ImageUnusableError:
            raise
        except Exception as error:  # noqa: BLE001
            raise self._fault(error, begun=True) from None
        if len(data) != length:
            raise SourceAwayError(f"{self.root}: the connection to it breaks, or an object has changed")
        return data

    # --- names -------------------------------------------------------------------------------------------

    def _below(self, name: str) -> str:
        """Return what a name is below the root, where it is a whole URI."""
        return name.removeprefix(f"{self.root}/")

    def _key(self, name: str) -> str:
        """Return the key below the prefix that a name means; ImageUnusableError for one that means none."""
        key = self._below(name)
        if key.startswith("/") or "://" in key or ".." in key.split("/"):
            raise ImageUnusableError(Reason.OUTSIDE_ROOT, "its name leaves the images' prefix")
        if not _is_key(key) or len(f"{self._prefix}/{key}".encode()) > _MOST_KEY_BYTES:
            raise ImageUnusableError(Reason.MISSING, "no object can have such a name")
        return key

    # --- looking names up --------------------------------------------------------------------------------

    def _has(self, name: str) -> bool:
        """Return whether there is an object of a name; one that may not be read is there."""
        import obstore  # noqa: PLC0415

        try:
            obstore.head(self._store(), self._key(name))
        except ImageUnusableError:
            return False
        except Exception as error:  # noqa: BLE001
            fault = self._fault(error, begun=True)
            if not isinstance(fault, ImageUnusableError):
                raise fault from None
            return fault.reason is not Reason.MISSING or self._is_folder(name)
        return True

    def _is_folder(self, name: str) -> bool:
        try:
            return any(self._keys_below(self._key(name)))
        except ImageUnusableError:
            return True  # something is there, and reading says what is wrong with it

    def _keys_below(self, key: str) -> Iterator[str]:
        """Yield the keys of which `key` is a folder's, in a store that knows none; raises as `read` does."""
        import obstore  # noqa: PLC0415

        try:
            for chunk in obstore.list(self._store(), prefix=key, chunk_size=1_000):
                # Some programs make an object `key/`, which stands for the folder.
                yield from (found["path"] for found in chunk if found["path"] != key)
        except Exception as error:  # noqa: BLE001
            if is_odd_key(error):
                message = "there is a key below it with an empty part (a//b) or one of dots"
                raise ImageUnusableError(Reason.UNREADABLE, message) from None
            raise self._fault(error, begun=True) from None

    def _listed(self) -> set[str] | None:
        """Return all keys below the prefix; None where the library cannot name one of them."""
        import obstore  # noqa: PLC0415

        try:
            return {
                found["path"] for chunk in obstore.list(self._store(), chunk_size=1_000) for found in chunk
            }
        except Exception as error:  # noqa: BLE001
            if is_odd_key(error):
                return None
            raise self._fault(error, begun=True) from None

    def _hint(self, missing: Sequence[str], keys: Collection[str] | None) -> str:
        """Say which prefix would fit, or which name is near."""
        sample = [self._below(name) for name in sampled(missing)]
        few = sample[:: -(-len(sample) // _ASKED)]
        above = self.root
        for _ in range(min(self._prefix.count("/") + 1 if self._prefix else 0, UP)):
            above = above.rpartition("/")[0]
            if all(map(ObjectSource(above)._has, few)):  # noqa: SLF001  # another of this class
                return use_root(above, len(few), len(few))
        there = self._first_listed() if keys is None else keys
        folder = sample[0].rpartition("/")[0]
        beside = [key.rpartition("/")[2] for key in there if key.rpartition("/")[0] == folder]
        return found_below(self.root, sample, there) or near(sample[0], beside)

    def _first_listed(self) -> list[str]:
        """Return the first keys below the prefix, as far as the library can name them."""
        import obstore  # noqa: PLC0415

        keys: list[str] = []
        with suppress(Exception):  # a hint is worth no failure
            for chunk in obstore.list(self._store(), chunk_size=1_000):
                keys += [found["path"] for found in chunk]
                if len(keys) >= _HINTED:
                    break
        return keys

    def _gives(self, key: str) -> bool:
        """Return whether an object can be read now; its content is not fetched."""
        import obstore  # noqa: PLC0415

        try:
            obstore.get(self._store(), key)
        except Exception:  # noqa: BLE001
            return False
        return True

    # --- the store ---------------------------------------------------------------------------------------

    def _store(self) -> "Store":
        try:
            return open_store(self._scheme, self._bucket, self._prefix)
        except Exception as error:  # noqa: BLE001
            raise SourceError(f"{self.root}: {outline(error, self._scheme).what}") from None

    def _refuse_redirect(self) -> None:
        """Raise SourceAwayError where the store sends its readers elsewhere; it is asked once per minute.

        It may have begun to do so after `require`, and the library would follow.
        """
        with self._asking:
            now = time.monotonic()
            if now - self._asked < _REDIRECT_SECONDS:
                return
            if host := redirected_to(self._store()):
                raise SourceAwayError(
                    f"{self.root}: the store sends its readers to {host}, and that is not followed"
                )
            self._asked = now

    def _fault(self, error: Exception, *, begun: bool) -> Exception:
        """Make of the library's error what it means: for one image, for the root, or for now.

        `begun`: the root was fit to be read once, so that whatever it lacks now passes.
        """
        said = outline(error, self._scheme)
        if begun and said.permanent and said.status and (said.code in _ABSENT or self._may_list()):
            if said.status == http.HTTPStatus.NOT_FOUND:
                return ImageUnusableError(Reason.MISSING, "there is no such object below the images' prefix")
            return ImageUnusableError(Reason.UNREADABLE, f"the store refuses to give it ({said.answered})")
        kind = SourceError if said.permanent and not begun else SourceAwayError
        return kind(f"{self.root}: {said.what}")

    def _may_list(self) -> bool:
        """Return whether the credentials are taken for the root: then a refusal is about one object."""
        import obstore  # noqa: PLC0415

        try:
            # Nothing lies below it, so that the answer is short.
            next(iter(obstore.list(self._store(), prefix=NOTHING)), None)
        except Exception as error:  # noqa: BLE001
            return is_odd_key(error)
        return True


def _tag(meta: "ObjectMeta") -> str:
    tag = meta["e_tag"] or meta["version"] or f"{meta['size']}-{meta['last_modified']}"
    return tag.replace('"', "")


def _prefixes(keys: Iterable[str], names: Collection[str]) -> set[str]:
    """Return which of the names are folders of the keys."""
    found: set[str] = set()
    for key in keys if names else ():
        folder = key.rpartition("/")[0]
        while folder:
            if folder in names:
                found.add(folder)
            folder = folder.rpartition("/")[0]
    return found


def _is_key(text: str) -> bool:
    """Return whether a store's library can ask for a key: no part of it is empty or only dots."""
    return not _CONTROL.search(text) and not {"", ".", ".."} & set(text.split("/"))
