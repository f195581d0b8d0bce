"""The ledger against a model of it: whatever steps come in whatever order, the same holds after each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Table, delete, func, select, update
from support import finding_ids, make_run

from config.failures import Reason, Stage
from db import evaluations, ledger, queries, recovery, retries, runs
from db.classifications import Classification, FindingScore
from db.database import Database, clock
from db.evaluations import EvaluationClaim, Figures
from db.ledger import Claim
from db.outcomes import Failed, Outcome
from db.schema import metadata
from db.schema.archives import finding
from db.schema.evaluations import evaluation, evaluation_result
from db.schema.runs import batch, image_result, run, score

CAP: Final = 3
"""Attempts of a batch."""

LEASE: Final = 1_000.0
PATIENCE: Final = 500.0
"""Seconds. Nothing here waits so long: clocks are moved by editing the rows."""

OPEN: Final = {"pending", "queued", "running"}


@dataclass
class Piece:
    """A batch as the model has it, or an evaluation; `rows` are its rows of the manifest."""

    run: int
    state: str = "pending"
    rows: tuple[int, ...] = ()
    attempt: int = 0
    token: str | None = None
    overdue: bool = False  # its lease ended
    waited: bool = False  # its message was sent long ago


@dataclass
class Night:
    """A run as the model has it; `ended` are the rows whose image has a result, with its status."""

    images: int
    status: str = "running"
    ended: dict[int, str] = field(default_factory=dict)
    evaluation: int | None = None
    evaluated: int = 0  # times
    earlier: int = 0  # evaluations, before failed images were tried again


class LedgerMachine(RuleBasedStateMachine):
    """Every step that a producer, a worker or the reconciler can take, in any order, on a model beside it."""

    database: Database
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        empty(self.database)
        self.nights: dict[int, Night] = {}
        self.batches: dict[int, Piece] = {}
        self.evaluations: dict[int, Piece] = {}
        # Also those whose lease is long lost: late copies are what the ledger must withstand.
        self.claims: list[Claim] = []
        self.held: list[EvaluationClaim] = []

    def any_claim(self, data: st.DataObject) -> tuple[Claim, Piece, bool]:
        """Draw a claim ever made, with its batch and whether it is the one that counts."""
        held = data.draw(st.sampled_from(self.claims))
        piece = self.batches[held.batch_id]
        return held, piece, piece.state == "running" and piece.token == held.token

    def any_held(self, data: st.DataObject) -> tuple[EvaluationClaim, Piece, bool]:
        held = data.draw(st.sampled_from(self.held))
        piece = self.evaluations[held.evaluation_id]
        return held, piece, piece.state == "running" and piece.token == held.token

    def any_night(self, data: st.DataObject) -> tuple[int, Night]:
        run_id = data.draw(st.sampled_from(sorted(self.nights)))
        return run_id, self.nights[run_id]

    def edit(self, table: Table, id_: int, **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(table).where(table.c.id == id_).values(**values))

    # --- the producer

    @initialize(images=st.integers(1, 5), size=st.integers(1, 3))
    def submit(self, images: int, size: int) -> None:
        self._submit(images, size)

    def _submit(self, images: int, size: int) -> None:
        run_id = make_run(self.database, self.folder, images, size)
        self.nights[run_id] = Night(images)
        with self.database.read() as connection:
            made = connection.execute(
                select(batch).where(batch.c.run_id == run_id).order_by(batch.c.id)
            ).all()
        for record in made:
            self.batches[record.id] = Piece(run_id, rows=tuple(range(record.first_row, record.last_row + 1)))
        rows = [row for record in made for row in self.batches[record.id].rows]
        assert rows == list(range(1, images + 1))

    @precondition(lambda self: len(self.nights) < 2)
    @rule(images=st.integers(1, 5), size=st.integers(1, 3))
    def submit_another(self, images: int, size: int) -> None:
        self._submit(images, size)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._cancel(*self.any_night(data))

    def _cancel(self, run_id: int, night: Night) -> None:
        assert runs.cancel(self.database, run_id) == (night.status == "running")
        if night.status == "running":
            night.status = "cancelled"
        for piece in self.batches.values():
            if piece.run == run_id and piece.state == "queued":
                piece.state = "pending"

    @rule(failing=st.sets(st.integers(1, 5), min_size=1))
    def mended_morning(self, failing: set[int]) -> None:
        """A night goes well but for some pictures; by the morning they are mended, and due again."""
        for held in self._claim_all():
            self._complete(held, failing)
        self._close_finished(None)
        for id_ in self.evaluations:
            evaluating = self._claim_evaluation(id_)
            if evaluating:
                self._complete_evaluation(evaluating)
        for run_id, night in self.nights.items():
            if night.status in {"complete", "failed"}:
                self._retry_failed(run_id, night)

    def _retry_failed(self, run_id: int, night: Night) -> None:
        failed = sorted(row for row, status in night.ended.items() if status == "failed")
        assert retries.retry_failed(self.database, run_id) == len(failed)
        if failed:
            night.earlier += night.evaluated
            night.status, night.evaluation, night.evaluated = "running", None, 0
            for row in failed:
                del night.ended[row]
            for piece in self.of(run_id):
                piece.rows = tuple(row for row in piece.rows if piece.state == "split" or row not in failed)
            self._learn_parts(failed)

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        run_id, night = self.any_night(data)
        if night.status == "cancelled":
            night.status = "running"
        assert runs.resume(self.database, run_id) == (night.status in {"running", "evaluating"})

    @rule(limit=st.integers(0, 4), data=st.data())
    def take_pending(self, limit: int, data: st.DataObject) -> None:
        self._take_pending(limit, data.draw(st.none() | st.sampled_from(sorted(self.nights))))

    def _take_pending(self, limit: int, only: int | None) -> None:
        expected = [
            id_
            for id_, piece in sorted(self.batches.items())
            if piece.state == "pending"
            and self.nights[piece.run].status == "running"
            and only in {None, piece.run}
        ][:limit]
        taken = ledger.take_pending(self.database, limit, only)
        assert [announced.batch_id for announced in taken] == expected
        for id_ in expected:
            self.batches[id_].state, self.batches[id_].waited = "queued", False

    # --- workers

    @rule(failing=st.sets(st.integers(1, 5)))
    def quiet_hour(self, failing: set[int]) -> None:
        """Nothing goes wrong for a while: what can be claimed is scored, or its pictures cannot be read."""
        for held in self._claim_all():
            self._complete(held, failing)
        self._close_finished(None)

    @rule(data=st.data())
    def cancelled_under_way(self, data: st.DataObject) -> None:
        """What is under way when a run is cancelled still ends; the run itself does not."""
        claims = self._claim_all()
        self._cancel(*self.any_night(data))
        for held in claims:
            self._complete(held, set())
        self._close_finished(None)

    @rule()
    def bad_hour(self) -> None:
        """Workers die on all that can be claimed, and the reconciler finds it out."""
        for held in self._claim_all():
            self._run_out(held.batch_id)
        self._expire_leases()

    @precondition(lambda self: self.claimable())
    @rule(data=st.data(), does=st.sampled_from((None, "renew", "release", "complete")))
    def frozen_worker_wakes(self, data: st.DataObject, does: str | None) -> None:
        """A worker freezes on a batch, another takes it over, and the first wakes: it must do no harm."""
        id_ = data.draw(st.sampled_from(self.claimable()))
        frozen = self._claim(id_)
        assert frozen is not None
        assert self._claim(id_) is None, "its message came twice"
        self._run_out(id_)
        self._expire_leases()
        self._take_pending(100, None)
        self._claim(id_)
        outcomes = [outcome(image.image_id, "failed") for image in frozen.images]
        deeds: dict[str, Callable[[], bool]] = {
            "renew": lambda: ledger.renew(self.database, frozen, LEASE),
            "release": lambda: ledger.release(self.database, frozen),
            "complete": lambda: ledger.complete(self.database, frozen, outcomes),
        }
        assert does is None or not deeds[does]()

    def claimable(self) -> list[int]:
        return [
            id_
            for id_, piece in self.batches.items()
            if piece.state in {"pending", "queued"} and self.nights[piece.run].status == "running"
        ]

    def _claim_all(self) -> list[Claim]:
        self._take_pending(100, None)
        claims = [self._claim(id_) for id_, piece in self.batches.items() if piece.state == "queued"]
        return [claim for claim in claims if claim is not None]

    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        """A message comes for any batch: a doubled, late or stray one as well."""
        self._claim(data.draw(st.sampled_from([*self.batches, max(self.batches) + 1])))

    @precondition(lambda self: any(piece.state == "queued" for piece in self.batches.values()))
    @rule(data=st.data())
    def claim_announced(self, data: st.DataObject) -> None:
        self._claim(
            data.draw(st.sampled_from([i for i, piece in self.batches.items() if piece.state == "queued"]))
        )

    def _claim(self, batch_id: int) -> Claim | None:
        held = ledger.claim(self.database, batch_id, "worker", LEASE)
        piece = self.batches.get(batch_id)
        free = piece and piece.state in {"pending", "queued"} and self.nights[piece.run].status == "running"
        assert (held is not None) == bool(free)
        if piece and held:
            piece.state, piece.token, piece.overdue = "running", held.token, False
            piece.attempt += 1
            assert held.attempt == piece.attempt
            assert [image.image_index for image in held.images] == [
                f"{n - 1:08d}_000.png" for n in piece.rows
            ]
            self.claims.append(held)
        return held

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        held, piece, counts = self.any_claim(data)
        written = piece.state == "done" and piece.token == held.token
        assert ledger.renew(self.database, held, LEASE) == (counts or written)
        if counts:
            piece.overdue = False

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        held, piece, counts = self.any_claim(data)
        assert ledger.release(self.database, held) == counts
        if counts:
            piece.state, piece.token, piece.overdue = "pending", None, False
            piece.attempt -= 1

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        held, piece, counts = self.any_claim(data)
        ledger.abandon(self.database, held)
        if counts:
            piece.overdue = True

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), failing=st.sets(st.integers(1, 5)))
    def complete(self, data: st.DataObject, failing: set[int]) -> None:
        """Only the newest claim of a batch that is not over writes; all others change nothing."""
        self._complete(self.any_claim(data)[0], failing)

    def _complete(self, held: Claim, failing: set[int]) -> None:
        piece = self.batches[held.batch_id]
        counts = piece.state == "running" and piece.token == held.token
        rows = [int(image.image_index[:8]) + 1 for image in held.images]
        ends = ["failed" if row in failing else "scored" for row in rows]
        outcomes = [outcome(image.image_id, end) for image, end in zip(held.images, ends, strict=True)]
        written = piece.state == "done" and piece.token == held.token
        assert ledger.complete(self.database, held, outcomes) == (counts or written)
        if counts:
            piece.state, piece.overdue = "done", False
            for row, end in zip(rows, ends, strict=True):
                self.end_image(piece.run, row, end)

    def end_image(self, run_id: int, row: int, status: str) -> None:
        assert row not in self.nights[run_id].ended, "an image ends once"
        self.nights[run_id].ended[row] = status

    # --- time, and the reconciler

    @precondition(lambda self: any(piece.state == "running" for piece in self.batches.values()))
    @rule(data=st.data())
    def lease_runs_out(self, data: st.DataObject) -> None:
        """A worker died or froze."""
        running = [id_ for id_, piece in self.batches.items() if piece.state == "running"]
        self._run_out(data.draw(st.sampled_from(running)))

    def _run_out(self, batch_id: int) -> None:
        self.edit(batch, batch_id, lease_expires_at=clock() - 1.0)
        self.batches[batch_id].overdue = True

    @precondition(lambda self: any(piece.overdue for piece in self.batches.values()))
    @rule()
    def expire_leases(self) -> None:
        self._expire_leases()

    def _expire_leases(self) -> None:
        overdue = [id_ for id_, piece in self.batches.items() if piece.state == "running" and piece.overdue]
        assert recovery.expire_leases(self.database, CAP) == len(overdue)
        for id_ in overdue:
            piece = self.batches[id_]
            piece.token, piece.overdue = None, False
            if piece.attempt < CAP:
                piece.state = "pending"
            elif len(piece.rows) == 1:
                piece.state = "done"
                self.end_image(piece.run, piece.rows[0], "failed")
            else:
                piece.state = "split"
        self._learn_parts()

    def _learn_parts(self, retried: list[int] | None = None) -> None:
        """Split batches have left one batch a row; failed images that are retried are in batches again."""
        with self.database.read() as connection:
            parts = connection.execute(select(batch).where(batch.c.id.not_in(list(self.batches)))).all()
        for part in parts:
            assert retried or part.first_row == part.last_row
            rows = tuple(range(part.first_row, part.last_row + 1))
            self.batches[part.id] = Piece(part.run_id, rows=rows)
        if retried:
            assert [row for part in parts for row in self.batches[part.id].rows] == retried

    @precondition(lambda self: any(piece.state == "queued" for piece in self.batches.values()))
    @rule(data=st.data())
    def message_is_lost(self, data: st.DataObject) -> None:
        queued = [id_ for id_, piece in self.batches.items() if piece.state == "queued"]
        id_ = data.draw(st.sampled_from(queued))
        self.edit(batch, id_, sent_at=clock() - PATIENCE - 1.0)
        self.batches[id_].waited = True

    @precondition(lambda self: any(piece.state == "queued" for piece in self.batches.values()))
    @rule()
    def requeue_lost(self) -> None:
        lost = [piece for piece in self.batches.values() if piece.state == "queued" and piece.waited]
        assert recovery.has_queued_before(self.database, PATIENCE) == bool(lost)
        assert recovery.requeue_lost(self.database, PATIENCE) == len(lost)
        for piece in lost:
            piece.state = "pending"

    @rule(data=st.data())
    def close_finished(self, data: st.DataObject) -> None:
        self._close_finished(data.draw(st.none() | st.sampled_from(sorted(self.nights))))

    def _close_finished(self, only: int | None) -> None:
        finished = [
            id_
            for id_, night in self.nights.items()
            if night.status == "running" and only in {None, id_} and not self.open_batches(id_)
        ]
        due = recovery.close_finished(self.database, only)
        for id_ in [id_ for id_ in finished if "scored" not in self.nights[id_].ended.values()]:
            self.nights[id_].status = "failed"
            finished.remove(id_)
        assert len(due) == len(finished)
        with self.database.read() as connection:
            made = connection.execute(select(evaluation).where(evaluation.c.id.in_(due))).all()
        assert sorted(record.run_id for record in made) == sorted(finished)
        for record in made:
            assert self.nights[record.run_id].evaluation is None, "an evaluation is due once"
            self.nights[record.run_id].status, self.nights[record.run_id].evaluation = "evaluating", record.id
            self.evaluations[record.id] = Piece(record.run_id, "due")

    def open_batches(self, run_id: int) -> list[Piece]:
        return [piece for piece in self.batches.values() if piece.run == run_id and piece.state in OPEN]

    # --- evaluations

    @precondition(lambda self: self.evaluations)
    @rule()
    def take_due(self) -> None:
        expected = [
            (id_, piece.run)
            for id_, piece in self.evaluations.items()
            if piece.state == "due" or (piece.state == "queued" and piece.waited)
        ]
        assert sorted(evaluations.take_due(self.database, PATIENCE)) == sorted(expected)
        for id_, _ in expected:
            self.evaluations[id_].state, self.evaluations[id_].waited = "queued", False

    @precondition(lambda self: self.evaluations)
    @rule(data=st.data())
    def claim_evaluation(self, data: st.DataObject) -> None:
        self._claim_evaluation(data.draw(st.sampled_from(sorted(self.evaluations))))

    def _claim_evaluation(self, id_: int) -> EvaluationClaim | None:
        piece = self.evaluations[id_]
        held = evaluations.claim_evaluation(self.database, id_, LEASE)
        assert (held is not None) == (piece.state in {"due", "queued"})
        if held:
            piece.state, piece.token, piece.overdue = "running", held.token, False
            piece.attempt += 1
            self.held.append(held)
        return held

    @precondition(lambda self: self.evaluations)
    @rule(again=st.booleans(), ends=st.booleans())
    def evaluator_dies(self, again: bool, ends: bool) -> None:
        """A worker freezes on each evaluation that it can claim; another may take it over, and end it."""
        for id_ in self.evaluations:
            frozen = self._claim_evaluation(id_)
            if frozen:
                self._fall_silent(id_)
                self._expire_evaluations()
                other = self._claim_evaluation(id_) if again else None
                self._complete_evaluation(frozen)
                if other and ends:
                    self._complete_evaluation(other)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew_evaluation(self, data: st.DataObject) -> None:
        held, piece, counts = self.any_held(data)
        written = piece.state == "done" and piece.token == held.token
        assert evaluations.renew_evaluation(self.database, held, LEASE) == (counts or written)
        if counts:
            piece.overdue = False

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def complete_evaluation(self, data: st.DataObject) -> None:
        self._complete_evaluation(self.any_held(data)[0])

    def _complete_evaluation(self, held: EvaluationClaim) -> None:
        piece = self.evaluations[held.evaluation_id]
        counts = piece.state == "running" and piece.token == held.token
        finding_id = min(finding_ids(self.database, held.run_id).values())
        found = Figures(
            results=[{"finding_id": finding_id, "subgroup": "all", "n_positive": 1, "n_negative": 2}]
        )
        written = piece.state == "done" and piece.token == held.token
        assert evaluations.complete_evaluation(self.database, held, found) == (counts or written)
        if counts:
            piece.state = "done"
            self.nights[piece.run].status = "complete"
            self.nights[piece.run].evaluated += 1

    @precondition(
        lambda self: any(piece.state in {"queued", "running"} for piece in self.evaluations.values())
    )
    @rule(data=st.data())
    def evaluator_is_silent(self, data: st.DataObject) -> None:
        """An evaluation's message is lost, or its worker died."""
        waiting = [id_ for id_, piece in self.evaluations.items() if piece.state in {"queued", "running"}]
        self._fall_silent(data.draw(st.sampled_from(waiting)))

    def _fall_silent(self, id_: int) -> None:
        piece = self.evaluations[id_]
        piece.overdue, piece.waited = piece.state == "running", piece.state == "queued"
        past = clock() - PATIENCE - 1.0
        if piece.state == "running":
            self.edit(evaluation, id_, lease_expires_at=past)
        else:
            self.edit(evaluation, id_, sent_at=past)

    @precondition(lambda self: self.evaluations)
    @rule()
    def expire_evaluations(self) -> None:
        self._expire_evaluations()

    def _expire_evaluations(self) -> None:
        overdue = [piece for piece in self.evaluations.values() if piece.state == "running" and piece.overdue]
        assert evaluations.expire_evaluations(self.database, CAP) == len(overdue)
        for piece in overdue:
            piece.token, piece.overdue = None, False
            piece.state = "due" if piece.attempt < CAP else "failed"
            if piece.state == "failed":
                self.nights[piece.run].status = "broken"

    # --- what is always so

    @invariant()
    def ledger_is_as_the_model_says(self) -> None:
        with self.database.read() as connection:
            for table, model in ((batch, self.batches), (evaluation, self.evaluations)):
                columns = (table.c.id, table.c.run_id, table.c.state, table.c.attempt, table.c.lease_token)
                found = {row.id: tuple(row)[1:] for row in connection.execute(select(*columns))}
                assert found == {
                    id_: (piece.run, piece.state, piece.attempt, piece.token) for id_, piece in model.items()
                }
            statuses = {row.id: row.status for row in connection.execute(select(run.c.id, run.c.status))}
        assert statuses == {id_: night.status for id_, night in self.nights.items()}

    @invariant()
    def done_batches_and_no_others_have_the_results_of_their_images(self) -> None:
        for night in self.nights:
            rows = {row: piece for piece in self.of(night) if piece.state == "done" for row in piece.rows}
            assert set(rows) == set(self.nights[night].ended)
        with self.database.read() as connection:
            results = select(
                image_result.c.run_id, image_result.c.batch_id, image_result.c.image_id, image_result.c.status
            )
            found = connection.execute(results).all()
            scored = connection.execute(select(score.c.run_id, score.c.image_id)).all()
        assert len({(result.run_id, result.image_id) for result in found}) == len(found)
        for night, model in self.nights.items():
            mine = [result for result in found if result.run_id == night]
            assert sorted(result.status for result in mine) == sorted(model.ended.values())
            done = [(id_, len(piece.rows)) for id_, piece in self.batches.items() if piece.run == night]
            for id_, size in done:
                ended = self.batches[id_].state == "done"
                assert sum(result.batch_id == id_ for result in mine) == (size if ended else 0)
        kept = {(result.run_id, result.image_id) for result in found if result.status == "scored"}
        assert sorted(tuple(row) for row in scored) == sorted(kept)

    def of(self, run_id: int) -> list[Piece]:
        return [piece for piece in self.batches.values() if piece.run == run_id]

    @invariant()
    def each_row_is_in_one_batch_that_is_not_split(self) -> None:
        for run_id, night in self.nights.items():
            rows = [row for piece in self.of(run_id) if piece.state != "split" for row in piece.rows]
            assert sorted(rows) == list(range(1, night.images + 1))

    @invariant()
    def no_attempt_is_over_the_cap(self) -> None:
        pieces = [*self.batches.values(), *self.evaluations.values()]
        assert all(0 <= piece.attempt <= CAP for piece in pieces)

    @invariant()
    def complete_runs_have_ended_every_row_and_were_evaluated_once(self) -> None:
        for run_id, night in self.nights.items():
            shown = queries.progress(self.database, run_id)
            ended = list(night.ended.values())
            assert (shown.scored, shown.failed) == (ended.count("scored"), ended.count("failed"))
            assert shown.pending == night.images - len(ended)
            assert night.evaluated == (night.status == "complete")
            if night.status in {"evaluating", "complete", "failed", "broken"}:
                assert not self.open_batches(run_id)
                assert shown.pending == 0
        with self.database.read() as connection:
            written = connection.execute(select(func.count()).select_from(evaluation_result)).scalar_one()
        assert written == sum(night.evaluated + night.earlier for night in self.nights.values())

    def teardown(self) -> None:
        """From wherever the steps have led, a night without further faults leads to the end."""
        for run_id in self.nights:
            runs.resume(self.database, run_id)
        for id_, piece in self.batches.items():
            if piece.state == "running":
                self.edit(batch, id_, lease_expires_at=clock() - 1.0)
        for id_, piece in self.evaluations.items():
            if piece.state == "running":
                self.edit(evaluation, id_, lease_expires_at=clock() - 1.0)
        recovery.expire_leases(self.database, CAP)
        evaluations.expire_evaluations(self.database, CAP)
        recovery.requeue_lost(self.database, -1.0)  # the queue is empty: what was announced is lost
        for announced in ledger.take_pending(self.database, 100):
            held = ledger.claim(self.database, announced.batch_id, "worker", LEASE)
            assert held is not None
            outcomes = [outcome(image.image_id, "scored") for image in held.images]
            assert ledger.complete(self.database, held, outcomes)
        recovery.close_finished(self.database)
        for id_, _ in evaluations.take_due(self.database, -1.0):
            evaluating = evaluations.claim_evaluation(self.database, id_, LEASE)
            assert evaluating is not None
            assert evaluations.complete_evaluation(self.database, evaluating, Figures())
        for run_id, night in self.nights.items():
            ended = queries.progress(self.database, run_id)
            assert ended.scored + ended.failed == night.images
            if ended.scored == 0:
                assert ended.status == "failed"
                continue
            failed = any(
                piece.state == "failed" for piece in self.evaluations.values() if piece.run == run_id
            )
            spent = self._evaluation_state(run_id) == "failed"
            assert ended.status == ("broken" if failed or spent else "complete")

    def _evaluation_state(self, run_id: int) -> str:
        with self.database.read() as connection:
            state: str = connection.execute(
                select(evaluation.c.state).where(evaluation.c.run_id == run_id, evaluation.c.closes_run)
            ).scalar_one()
        return state


def outcome(image_id: int, end: str) -> Outcome:
    if end == "failed":
        return Failed(image_id, Stage.READ, Reason.MISSING, "no such file")
    return Classification(image_id, 8, 8, (FindingScore("Mass", 0.5),))


def empty(database: Database) -> None:
    """Take away what the example before has left; the findings stay, and so do their numbers."""
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name != "published_auroc" and table is not finding:
                connection.execute(delete(table))


@pytest.fixture
def machine(database: Database, tmp_path: Path) -> type[LedgerMachine]:
    class Machine(LedgerMachine):
        pass

    Machine.database, Machine.folder = database, tmp_path
    return Machine


def test_whatever_comes_in_whatever_order_nothing_is_lost_doubled_or_forgotten(
    machine: type[LedgerMachine],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
