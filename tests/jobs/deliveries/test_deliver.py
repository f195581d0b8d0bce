"""Each object is sent once: refusals are kept, what is away is waited for, and the rest goes on."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import pytest
from support import make_run, score_batches

from config.failures import Reason
from db import deliveries
from db.answers import ask
from db.database import Database
from db.deliveries import Due
from db.states import DeliveryState
from jobs.deliveries.deliver import Made, NotFinishedError, Patience, deliver, wait_for
from jobs.deliveries.peer import Answer, DicomObject, PeerAwayError, PeerError
from jobs.errors import SourceAwayError
from jobs.kinds.classification import KIND
from jobs.kinds.objects import OBJECT_KINDS, ObjectKind

IMAGES = 5
REPORTS: tuple[ObjectKind, ...] = ("dicom-sr",)
Say = Callable[[DicomObject], Answer]


class FakePeer:
    """A receiver that answers as it is told, and keeps what it takes."""

    target = "PACS@pacs.example:104"

    def __init__(self, answer: Say | None = None) -> None:
        self.answer = answer or (lambda _: Answer(taken=True, status="0x0000"))
        self.checks: Iterator[Exception] = iter([])  # of the next checks
        self.taken: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def check(self) -> None:
        for error in self.checks:
            raise error

    def send(self, result: DicomObject) -> Answer:
        answer = self.answer(result)
        if answer.taken:
            self.taken.append(result.sop_instance_uid)
        return answer


def objects_of(due: Due) -> Made:
    """An object of each kind and finding, with a UID that says which."""
    made = [
        DicomObject(kind, finding or None, "1.2", uid_of(due.image.name, kind, finding), "1.2.1", b"")
        for kind, finding in sorted(due.objects)
        if kind in OBJECT_KINDS
    ]
    return Made(due.image.image_id, due.objects, made)


def uid_of(image: str, kind: str, finding: str) -> str:
    return f"{image} {kind} {finding}"


def make(due: Iterable[Due]) -> Iterator[Made]:
    return map(objects_of, due)


class Waits:
    """Patience that does not sleep; keeps what was said and for how long it would have slept."""

    def __init__(self, seconds: float = 3600) -> None:
        self.said: list[str] = []
        self.slept: list[float] = []
        self.patience = Patience(seconds, self.said.append, self.slept.append)


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    run = make_run(database, tmp_path, IMAGES)
    score_batches(database, tmp_path / "models", run)
    return run


def rows(database: Database) -> list[tuple[str, str, str, str | None, int]]:
    _, found = ask(
        database,
        "SELECT image_index, kind, state, status, attempts FROM deliveries "
        "ORDER BY image_index, kind, finding",
    )
    return [tuple(row) for row in found]


def sent(
    database: Database,
    run_id: int,
    peer: FakePeer,
    kinds: tuple[ObjectKind, ...] = REPORTS,
    again: bool = False,
) -> Waits:
    waits = Waits()
    wait_for(peer, waits.patience)
    deliver(database, run_id, peer, kinds, make, waits.patience, again=again)
    return waits


def test_of_each_image_there_is_a_report_and_what_it_has_to_show(database: Database, run_id: int) -> None:
    peer = FakePeer()
    sent(database, run_id, peer, KIND.objects)
    _, scores = ask(database, "SELECT image_index, finding FROM scores WHERE probability >= threshold")
    flagged = {(row[0], row[1]) for row in scores}
    names = [f"{number:08d}_000.png" for number in range(IMAGES)]
    expected = {uid_of(name, "dicom-sr", "") for name in names}
    expected |= {uid_of(name, "dicom-gsps", "") for name, _ in flagged}
    expected |= {uid_of(name, "dicom-sc", finding) for name, finding in flagged}
    assert sorted(peer.taken) == sorted(expected)
    assert len(rows(database)) == len(expected)


def test_what_was_sent_is_not_sent_again_to_the_same_receiver(database: Database, run_id: int) -> None:
    first = FakePeer()
    sent(database, run_id, first)
    sent(database, run_id, first)
    assert len(first.taken) == IMAGES
    other = FakePeer()
    other.target = "OTHER@pacs.example:104"
    sent(database, run_id, other)
    assert other.taken == first.taken


def test_a_refusal_is_kept_with_its_reason_and_the_rest_goes_on(database: Database, run_id: int) -> None:
    refused = uid_of("00000001_000.png", "dicom-sr", "")

    def answer(result: DicomObject) -> Answer:
        return Answer(taken=result.sop_instance_uid != refused, status="0xA900")

    peer = FakePeer(answer)
    sent(database, run_id, peer)
    assert len(peer.taken) == IMAGES - 1
    assert rows(database)[1] == ("00000001_000.png", "dicom-sr", "refused", "0xA900", 1)
    sent(database, run_id, peer)
    assert rows(database)[1][-1] == 1  # as it was refused, it is not asked again
    peer.answer = lambda _: Answer(taken=True, status="0x0000")
    sent(database, run_id, peer, again=True)
    assert rows(database)[1][2:] == ("sent", "0x0000", 2)
    assert sorted(set(peer.taken)) == sorted(peer.taken)


def test_one_that_fails_does_not_hold_up_the_others(database: Database, run_id: int) -> None:
    tries: list[str] = []
    bad = uid_of("00000000_000.png", "dicom-sr", "")

    def answer(result: DicomObject) -> Answer:
        tries.append(result.sop_instance_uid)
        if result.sop_instance_uid == bad and tries.count(bad) < 3:
            raise PeerAwayError("it has no room")
        return Answer(taken=True, status="0x0000")

    waits = sent(database, run_id, FakePeer(answer))
    assert tries[1] != bad
    assert tries[-2:] == [bad, bad]
    assert {row[2] for row in rows(database)} == {"sent"}
    assert rows(database)[0][-1] == 3
    assert waits.said == ["waiting: it has no room", "waiting: it has no room"]


def test_a_receiver_that_is_away_is_waited_for_longer_each_time_and_said_once(
    database: Database, run_id: int
) -> None:
    peer = FakePeer()
    peer.checks = iter([PeerAwayError("it does not answer")] * 8)
    waits = sent(database, run_id, peer)
    assert waits.slept == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits.said == ["waiting: it does not answer"]
    assert len(peer.taken) == IMAGES


def test_patience_ends_and_what_is_left_stays_due(database: Database, run_id: int) -> None:
    def answer(_: DicomObject) -> Answer:
        if len(peer.taken) == 2:
            raise PeerAwayError("it is gone")
        return Answer(taken=True, status="0x0000")

    peer = FakePeer(answer)
    with pytest.raises(NotFinishedError, match="it is gone; the same command goes on"):
        deliver(database, run_id, peer, REPORTS, make, Waits(0).patience)
    assert [row[2] for row in rows(database)].count("sent") == 2
    peer.answer = lambda _: Answer(taken=True, status="0x0000")
    sent(database, run_id, peer)
    assert len(set(peer.taken)) == len(peer.taken) == IMAGES


def test_nothing_is_written_down_before_the_receiver_lets_us_in(database: Database, run_id: int) -> None:
    peer = FakePeer()
    peer.checks = iter([PeerError("it does not know us")])
    with pytest.raises(PeerError):
        sent(database, run_id, peer)
    assert rows(database) == []


def test_films_that_are_away_are_waited_for(database: Database, run_id: int) -> None:
    times = iter([2, IMAGES])

    def made(due: Iterable[Due]) -> Iterator[Made]:
        until = next(times)
        for number, image in enumerate(due):
            if number == until:
                raise SourceAwayError("the films' server does not answer")
            yield objects_of(image)

    peer, waits = FakePeer(), Waits()
    deliver(database, run_id, peer, REPORTS, made, waits.patience)
    assert len(set(peer.taken)) == len(peer.taken) == IMAGES
    assert waits.said == ["waiting: the films' server does not answer"]


def test_what_cannot_be_made_is_kept_with_its_reason(database: Database, run_id: int) -> None:
    def made(due: Iterable[Due]) -> Iterator[Made]:
        for image in due:
            number = int(image.image.name[:8])
            if number == 0:
                yield Made(image.image.image_id, image.objects, reason=Reason.MISSING)
            elif number == 1:
                yield Made(image.image.image_id, image.objects)
            else:
                yield objects_of(image)

    peer = FakePeer()
    deliver(database, run_id, peer, REPORTS, made, Waits().patience)
    assert [row[2:4] for row in rows(database)][:3] == [
        ("unusable", "missing"),
        ("unusable", "not_dicom"),
        ("sent", "0x0000"),
    ]
    counted = deliveries.counts(database, run_id, peer.target)
    assert {(count.state, count.objects) for count in counted} == {
        (DeliveryState.SENT, IMAGES - 2),
        (DeliveryState.UNUSABLE, 1),
    }
