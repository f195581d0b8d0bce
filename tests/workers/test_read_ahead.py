"""Reading ahead: in order, as many at once as pay, and no more bytes than may wait."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Semaphore

import pytest
from support import eventually

from config.content import Content
from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError
from jobs.sources.lookup import Lookup
from workers import read_ahead
from workers.read_ahead import ReadAhead

SIZE = 100


class GatedSource:
    """Images of SIZE bytes, each read of which ends once it may."""

    root = "gated"
    only_dicom = False

    def __init__(self, readers: int, *, is_open: bool = True) -> None:
        self.readers = readers
        self.gate = Semaphore(1_000 if is_open else 0)
        self.begun: list[str] = []
        self.at_once = self.most_at_once = 0
        self._lock = Lock()

    def require(self) -> None:
        pass

    def look_up(self, names: Collection[str]) -> Lookup:
        return Lookup([], str(names))

    def read(self, name: str, max_bytes: int) -> Content:
        with self._lock:
            self.begun.append(name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.gate.acquire()
        with self._lock:
            self.at_once -= 1
        if name == "away":
            raise SourceAwayError("away")
        if name == "absent":
            raise ImageUnusableError(Reason.MISSING, "absent")
        assert max_bytes == SIZE
        return Content(name.encode().ljust(SIZE), name)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as made:
        yield made


@pytest.fixture
def reads(pool: ThreadPoolExecutor) -> Callable[[GatedSource, Collection[str]], ReadAhead[Content]]:
    return lambda source, names: ReadAhead(pool, source, names, SIZE)


NAMES = [f"{number:03d}" for number in range(50)]


def test_contents_come_in_their_order_and_as_many_are_read_at_once_as_pay(
    reads: Callable[[GatedSource, Collection[str]], ReadAhead[Content]],
) -> None:
    source = GatedSource(8, is_open=False)
    ahead = reads(source, NAMES)
    read = iter(ahead)
    first = next(read)
    eventually(lambda: source.at_once == 8, 10, "eight are under way")
    source.gate.release(1_000)
    contents = [first.result(), *(later.result() for later in read)]
    assert [content.tag for content in contents] == NAMES
    assert source.most_at_once == 8


def test_an_image_that_cannot_be_read_costs_itself_and_takes_up_no_room(
    reads: Callable[[GatedSource, Collection[str]], ReadAhead[Content]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", SIZE)
    ahead = reads(GatedSource(4), ["000", "absent", "absent", "001"])
    tags: list[str | None] = []
    for read in ahead:
        try:
            tags.append(read.result().tag)
            ahead.free(read.result())
        except ImageUnusableError:
            tags.append(None)
    assert tags == ["000", None, None, "001"]


def test_no_more_bytes_wait_than_may(
    reads: Callable[[GatedSource, Collection[str]], ReadAhead[Content]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", 3 * SIZE)
    source = GatedSource(8)
    ahead = reads(source, NAMES)
    freed = 0
    for number, read in enumerate(ahead):
        read.result()
        if number >= 8:  # the first eight were begun before anybody knew a size
            assert len(source.begun) - freed <= 3
        ahead.free(read.result())
        freed += 1
    assert freed == len(NAMES)


def test_one_content_larger_than_all_that_may_wait_is_read_all_the_same(
    reads: Callable[[GatedSource, Collection[str]], ReadAhead[Content]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_ahead, "AHEAD_BYTES", SIZE - 1)
    ahead = reads(GatedSource(2), NAMES)
    count = 0
    for read in ahead:
        ahead.free(read.result())
        count += 1
    assert count == len(NAMES)


def test_once_nobody_takes_more_no_further_read_is_begun(
    reads: Callable[[GatedSource, Collection[str]], ReadAhead[Content]],
) -> None:
    source = GatedSource(4, is_open=False)
    read = iter(reads(source, ["away", *NAMES]))
    first = next(read)
    eventually(lambda: source.at_once == 4, 10, "four are under way")
    source.gate.release(1_000)
    with pytest.raises(SourceAwayError):
        first.result()
    del read
    assert len(source.begun) == 4
