"""After every single fault each worker works again, by the rules of the unit that docs/machines.md shows."""

from pathlib import Path

import pytest
from service import documented_rules
from storm.storm import FAULTS, stormy


@pytest.mark.processes
@pytest.mark.timeout(1200)
def test_after_every_single_fault_all_workers_work_again(tmp_path: Path) -> None:
    with stormy(seed=4, images=12_000, faults=0, folder=tmp_path) as storm:
        try:
            storm.begin()
            storm.until_all_work()
            for kind in FAULTS:
                storm.strike(kind)
                storm.until_all_work()
            rows = storm.ask("SELECT count(*) FROM image_result WHERE status = 'failed'")
            assert rows == [(0,)]
            assert storm.status() == "running", "the run has lasted for all of them"
            assert storm.settle() == []
        except BaseException:
            print(storm.report())  # noqa: T201  # shown with the failure
            raise


def test_the_rules_start_a_worker_again_for_ever_but_one_that_refuses() -> None:
    rules = documented_rules()
    starts = [float(second) for second in range(100)]
    assert rules.pause_after(-9, starts, 100.0) == rules.pause_after(1, starts, 100.0) == 5.0
    assert rules.pause_after(2, starts[:1], 100.0) is None
