"""`nightread metrics --port` as Prometheus asks it, and how it ends."""

import re
import signal

import requests
from support import Nightread, eventually

from jobs.doctor.flower import is_open


def test_the_served_metrics_are_on_this_machine_only_and_end_with_a_signal(nightread: Nightread) -> None:
    served = nightread.start("metrics", "--port", "0")
    log = nightread.home / "metrics.0.log"
    said = eventually(lambda: re.search(r"metrics at (http://127\.0\.0\.1:(\d+)/metrics)", log.read_text()))
    answer = requests.get(said[1], timeout=30)
    assert answer.ok
    assert "nightread_runs{" in answer.text
    taken = nightread.run("metrics", "--port", said[2])
    assert taken.returncode == 1
    assert "cannot be listened on" in taken.stderr
    assert not is_open(int(said[2]))
    served.send_signal(signal.SIGTERM)
    assert nightread.ends(served) == 0
