"""The workers' lines: real ones that are alike and that are not, asked through a real broker."""

import pytest
from support import STUB_CARD, Nightread, eventually, free_port, write_card

from config.settings import Settings
from jobs.doctor import workers
from jobs.doctor.verdict import Night, State, Verdict


def asked(settings: Settings) -> list[Verdict]:
    return list(workers.ask(Night(settings)))


def test_workers_are_compared_with_each_other_and_with_this_machine(
    cluster: Nightread, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = cluster.settings().model_copy(update={"model": "stub"})
    (none,) = asked(settings)
    assert (none.state, none.seen) == (State.FAULT, "none answers")

    cluster.start("worker", "--model", "stub", "--children", "1", "--name", "first@%h")
    eventually(lambda: asked(settings)[0].state is State.OK, what="the worker answers")

    monkeypatch.setattr(workers, "version", lambda _: "9.9.9")
    (other,) = asked(settings)
    assert other.state is State.WARNING
    assert "not all have version 9.9.9" in other.seen
    monkeypatch.undo()

    write_card(cluster.home / "models", STUB_CARD | {"sha256": "1" * 64})
    (changed,) = asked(settings)
    assert changed.state is State.FAULT
    assert "first@" in changed.seen
    assert "this machine" in changed.seen

    cluster.start("worker", "--model", "stub", "--children", "1", "--name", "second@%h")
    (apart,) = eventually(
        lambda: [verdict for verdict in asked(settings) if "second@" in verdict.seen],
        what="the second worker answers",
    )
    assert apart.state is State.FAULT
    first, second = apart.seen.split(" / ")
    assert ("first@" in first) is not ("first@" in second)


def test_a_worker_that_does_not_know_the_question_is_of_an_earlier_version() -> None:
    (found,) = workers._versions({"nightread@old": {}})
    assert found.state is State.WARNING
    assert "nightread@old has an earlier one" in found.seen


def test_without_a_broker_and_with_one_that_is_away_nobody_is_asked() -> None:
    assert [verdict.state for verdict in asked(Settings())] == [State.OK]
    away = Settings.model_validate({"broker_url": f"redis://127.0.0.1:{free_port()}/0"})
    assert [verdict.state for verdict in asked(away)] == [State.UNASKED]
