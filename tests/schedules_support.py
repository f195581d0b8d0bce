"""Nights of a schedule without workers: an archive with the stub model, ticks, and what comes of them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fakes import stub_scorer
from sqlalchemy import select, text, update
from support import STUB_CARD, write_card, write_manifest

from config.settings import Settings
from db import ledger, recovery, schedules
from db.database import Database
from db.schema.evaluations import evaluation
from db.schema.runs import run
from db.schema.schedules import schedule_due
from jobs.schedules.schedule import Action, Score, tick

SUNDAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NIGHTS = [datetime(2026, 3, 2 + number, 2, tzinfo=UTC) for number in range(7)]


@dataclass
class Archive:
    """An archive with the stub model, a manifest that may change, and a schedule at two every night."""

    database: Database
    folder: Path
    images: int = 6
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = Settings(home=self.folder)
        write_card(self.folder / "models", STUB_CARD)
        write_manifest(self.manifest, self.images)

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    def score(self, max_missing: float = 0.01) -> Score:
        return Score(
            manifest=self.manifest,
            images=str(self.folder),
            model="stub",
            heatmaps="none",
            batch_size=4,
            max_missing=max_missing,
        )

    def schedule(self, action: Action | None = None, cron: str = "0 2 * * *") -> int:
        return schedules.add(
            self.database,
            name="night",
            cron=cron,
            timezone="UTC",
            action=(action or self.score()).model_dump_json(),
            margin=0.02,
            now=SUNDAY,
        )

    def tick(self, now: datetime) -> None:
        tick(self.database, self.settings, now)

    def work(self) -> int:
        """Do what workers do; gives the number of images scored."""
        stub = stub_scorer(self.settings.models)
        scored = 0
        for batch in ledger.take_pending(self.database, 1_000):
            held = ledger.claim(self.database, batch.batch_id, "worker", 60)
            assert held is not None
            assert ledger.complete(self.database, held, stub.score(held))
            scored += len(held.images)
        recovery.close_finished(self.database)
        with self.database.write() as connection:
            connection.execute(update(evaluation).values(state="done"))
            evaluated = run.c.status == "evaluating"
            connection.execute(update(run).where(evaluated).values(status="complete"))
        return scored

    def night(self, now: datetime) -> int:
        """A tick and what comes of it."""
        self.tick(now)
        return self.work()

    def history(self) -> list[tuple[Any, ...]]:
        """Due time, state, run and evaluation of all that was due, as the view has it."""
        columns = (schedule_due.c[name] for name in ("due_at", "state", "run_id", "evaluation_id"))
        with self.database.read() as connection:
            return [tuple(row) for row in connection.execute(select(*columns).order_by("due_at"))]

    def message(self) -> str:
        with self.database.read() as connection:
            found: str = connection.execute(
                text("SELECT message FROM schedules ORDER BY due_at DESC LIMIT 1")
            ).scalar_one()
            return found

    def count(self, view: str) -> int:
        with self.database.read() as connection:
            found: int = connection.execute(text(f"SELECT COUNT(*) FROM {view}")).scalar_one()
            return found
