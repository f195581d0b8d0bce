"""What a broker is asked over a connection that outlives the question."""

import pytest
from support import QueueServer

from jobs.dispatch.broker import Broker


@pytest.mark.processes
def test_a_broker_that_was_started_again_is_not_taken_for_one_that_is_away(queue_server: QueueServer) -> None:
    assert Broker.connect(queue_server.url, 10.0).ask_workers(0.2) == {}
    queue_server.kill()
    queue_server.start()
    assert Broker.connect(queue_server.url, 10.0).ask_workers(0.2) == {}
