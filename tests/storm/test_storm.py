"""Everything goes wrong in one run, and nothing is lost, doubled or changed."""

from pathlib import Path

import pytest
from storm.storm import FAULTS, weather


@pytest.mark.processes
@pytest.mark.timeout(900)
def test_a_run_through_a_storm_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    storm = weather(seed=6, images=2_000, faults=len(FAULTS), folder=tmp_path)
    assert {fault.kind for fault in storm.schedule} == set(FAULTS)
