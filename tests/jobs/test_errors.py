"""What a script may rely on that looks at an exit code: whether waiting will help."""

import pkgutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

import jobs
from config.errors import ConfigError
from db.errors import DatabaseError, UnknownRunError
from jobs.commands.app import run_cli
from jobs.dispatch.broker import BrokerAwayError
from jobs.dispatch.embedded import EmbeddedAwayError, EmbeddedError
from jobs.errors import AwayError, InputError, JobsError
from jobs.imports import ImportOrderError
from jobs.schedules.schedule import ScheduleError
from jobs.submit import OrderError
from jobs.tables.errors import TableError
from jobs.tables.labels import LabelsError

PERMANENT = [
    *(InputError("x"), OrderError("x"), ImportOrderError("x"), LabelsError("x"), ScheduleError("x")),
    TableError(Path("chest.csv"), "the file is empty", "Add a row."),
    *(EmbeddedError("x"), ConfigError("x"), DatabaseError("x"), UnknownRunError("x")),
]
TRANSIENT = [AwayError("x"), BrokerAwayError("x"), EmbeddedAwayError("x")]


@pytest.mark.parametrize(
    ("error", "code"),
    [(error, 2) for error in PERMANENT] + [(error, 1) for error in TRANSIENT],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_2_is_for_what_no_waiting_mends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    def raise_it() -> None:
        raise error

    raising = typer.Typer()
    raising.command()(raise_it)
    monkeypatch.setattr(sys, "argv", ["nightread"])
    with pytest.raises(SystemExit) as ended:
        run_cli(raising)
    assert ended.value.code == code
    assert str(error) in capsys.readouterr().err


def test_every_error_is_either_a_persons_to_mend_or_to_be_waited_for() -> None:
    for module in pkgutil.walk_packages(jobs.__path__, "jobs."):
        import_module(module.name)
    assert set(JobsError.__subclasses__()) == {InputError, AwayError}
