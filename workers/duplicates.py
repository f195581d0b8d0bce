"""Which images of an archive are one film: the same bytes, the same picture, or copies of one."""

import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

import cv2
import numpy as np

from config.failures import ImageUnusableError
from jobs.sources.source import ImageSource
from workers.inference.copies import Search
from workers.inference.formats.decode import decode, most_bytes
from workers.inference.formats.picture import Picture
from workers.inference.likeness import SIDE, Look, Looks, grey_values, likeness, look_at

Kind = Literal["same bytes", "same picture", "copy"]

_AHEAD: Final = 4
"""Images per thread that are being read while others are looked at."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Images by their names below a source's root, and their patients, None where that is not known."""

    source: ImageSource
    names: Sequence[str]
    patients: Sequence[str | None]


class Pair(NamedTuple):
    """Two images that are one film.

    `correlation`: of what both show once one is laid over the other; below 0 if one is the other's negative.
    `patients`: whether the manifests name one patient or two; None where they name none.
    """

    image: str
    other_image: str
    kind: Kind
    correlation: float
    patients: Literal["same", "different"] | None


class Telling(NamedTuple):
    """Whom to tell how many of all images were read, and how many of all blocks of pairs were searched."""

    read: Callable[[int, int], None]
    searched: Callable[[int, int], None]


class Duplicates(NamedTuple):
    """What was found; `unusable` images could not be read, and each has a reason."""

    pairs: Sequence[Pair]
    images: int
    unusable: Sequence[tuple[str, ImageUnusableError]]


class _Seen(NamedTuple):
    """An image that was read: digests of its content and of its greys, and its look."""

    content: bytes
    greys: bytes
    look: Look


class _Images:
    """The images of an archive that can be read, by their numbers.

    `same`: the numbers of images with the same greys, by their digest; `groups` are these in order, and
    `looks` (groups, 64, 64) are theirs.
    """

    def __init__(self, archive: Archive, seen: Sequence[_Seen | ImageUnusableError]) -> None:
        self.archive = archive
        self.unusable: list[tuple[str, ImageUnusableError]] = []
        self.contents: dict[int, bytes] = {}
        self.same: dict[bytes, list[int]] = defaultdict(list)
        looks: list[Look] = []
        for number, found in enumerate(seen):
            if isinstance(found, ImageUnusableError):
                self.unusable.append((archive.names[number], found))
                continue
            self.contents[number] = found.content
            if found.greys not in self.same:
                looks.append(found.look)
            self.same[found.greys].append(number)
        self.looks: Looks = np.array(looks, dtype=np.int8).reshape(-1, SIDE, SIDE)
        self.groups = list(self.same.values())

    def pair(self, number: int, there: "_Images", other: int, kind: Kind | None, correlation: float) -> Pair:
        """Make a pair; `kind` None: of the same greys."""
        patient, other_patient = self.archive.patients[number], there.archive.patients[other]
        known = patient is not None and other_patient is not None
        return Pair(
            self.archive.names[number],
            there.archive.names[other],
            kind or ("same bytes" if self.contents[number] == there.contents[other] else "same picture"),
            correlation,
            ("same" if patient == other_patient else "different") if known else None,
        )


class Reader:
    """Reads images for their looks, and once more those that seem to be copies."""

    def __init__(self, max_pixels: int, threads: int) -> None:
        """Take the largest picture to be read, and the number of threads."""
        # OpenCV's own threads spin while they wait, on cores that these need.
        cv2.setNumThreads(1)
        self._max_pixels = max_pixels
        self._width = threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads; what has not begun is not done."""
        self._threads.shutdown(cancel_futures=True)

    def find(self, archive: Archive, against: Archive | None, telling: Telling) -> Duplicates:
        """Find the duplicates within an archive, or between it and another one; in the order of the names.

        Of more than two images of one film each is in a pair, but not all are paired with all.
        """
        total = len(archive.names) + (len(against.names) if against else 0)
        here = self._images(archive, lambda done: telling.read(done, total))
        there = here
        if against is not None:
            start = len(archive.names)
            there = self._images(against, lambda done: telling.read(start + done, total))
        pairs = [*(_same_within(here) if against is None else _same_between(here, there))]
        pairs += self._copies(here, there, telling.searched)
        places = {name: number for number, name in enumerate(archive.names)}
        pairs.sort(key=lambda pair: places[pair.image])
        unusable = [*here.unusable, *(there.unusable if against else ())]
        return Duplicates(pairs, total - len(unusable), unusable)

    def _images(self, archive: Archive, read: Callable[[int], None]) -> _Images:
        seen: list[_Seen | ImageUnusableError] = []
        for found in self._ahead(archive):
            seen.append(found)
            read(len(seen))
        return _Images(archive, seen)

    def _ahead(self, archive: Archive) -> Iterator[_Seen | ImageUnusableError]:
        """Read images in order, some ahead; what is read is not kept."""
        waiting: deque[Future[_Seen | ImageUnusableError]] = deque()
        for name in archive.names:
            waiting.append(self._threads.submit(self._see, archive.source, name))
            if len(waiting) > _AHEAD * self._width:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()

    def _see(self, source: ImageSource, name: str) -> _Seen | ImageUnusableError:
        try:
            content, picture = self._read(source, name)
        except ImageUnusableError as error:
            return error
        greys = grey_values(picture)
        digest = hashlib.sha256(f"{greys.shape} {greys.dtype}".encode())
        digest.update(greys.tobytes())
        return _Seen(hashlib.sha256(content).digest(), digest.digest(), look_at(picture))

    def _read(self, source: ImageSource, name: str) -> tuple[bytes, Picture]:
        content = source.read(name, most_bytes(self._max_pixels)).data
        # How many of 16 bits are used does not matter: brightness is not compared.
        return content, decode(content, self._max_pixels)

    def _copies(self, here: _Images, there: _Images, searched: Callable[[int, int], None]) -> Iterable[Pair]:
        def compare(number: int, other: int) -> float:
            places = ((here, here.groups[number][0]), (there, there.groups[other][0]))
            reads = [
                self._threads.submit(self._read, images.archive.source, images.archive.names[place])
                for images, place in places
            ]
            return likeness(*(future.result()[1] for future in reads))

        others, known = None, []
        if here is not there:
            others, places = there.looks, {greys: place for place, greys in enumerate(there.same)}
            known = [(place, places[greys]) for place, greys in enumerate(here.same) if greys in places]
        search = Search(here.looks, others, compare, self._threads, known)
        for done, copies in enumerate(search, start=1):
            for copy in copies:
                yield from _pairs_of(here, there, copy.picture, copy.other, copy.correlation)
            searched(done, len(search))


def _same_within(images: _Images) -> Iterator[Pair]:
    for first, *others in images.groups:
        for other in others:
            yield images.pair(first, images, other, None, 1.0)


def _same_between(here: _Images, there: _Images) -> Iterator[Pair]:
    for greys, numbers in here.same.items():
        if greys in there.same:
            yield from _every(here, there, numbers, there.same[greys], None, 1.0)


def _pairs_of(here: _Images, there: _Images, place: int, other: int, correlation: float) -> Iterator[Pair]:
    numbers, others = here.groups[place], there.groups[other]
    if here is there:  # the others of the same greys are in pairs with these
        numbers, others = numbers[:1], others[:1]
    yield from _every(here, there, numbers, others, "copy", correlation)


def _every(
    here: _Images,
    there: _Images,
    numbers: Sequence[int],
    others: Sequence[int],
    kind: Kind | None,
    correlation: float,
) -> Iterator[Pair]:
    """Pair the first with all the others, and all others' first with the rest."""
    for other in others:
        yield here.pair(numbers[0], there, other, kind, correlation)
    for number in numbers[1:]:
        yield here.pair(number, there, others[0], kind, correlation)
