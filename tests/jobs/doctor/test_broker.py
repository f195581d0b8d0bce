"""The broker's lines, of a real server that is as it must be and that is not."""

import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis
from support import QueueServer, eventually, free_port

from config.settings import Settings
from jobs.doctor import broker
from jobs.doctor.verdict import Night, State, Verdict


def asked(url: str) -> dict[str, Verdict]:
    settings = Settings.model_validate({"broker_url": url})
    return {verdict.name: verdict for verdict in broker.ask(Night(settings))}


@pytest.fixture
def server(queue_server: QueueServer) -> Iterator[QueueServer]:
    """The queue's server; what a test changed is put back."""
    yield queue_server
    with queue_server.client() as client:
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", "0")
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        client.acl_deluser("mute")
        eventually(lambda: client.info()["aof_enabled"] and not client.info()["aof_rewrite_in_progress"])


def test_a_server_as_it_must_be(server: QueueServer) -> None:
    found = asked(server.url)
    assert list(found) == ["broker", "persistence", "eviction", "broker's clock"]
    assert {verdict.state for verdict in found.values()} == {State.OK}
    assert server.password not in "".join(verdict.seen for verdict in found.values())


def forgetful(client: Redis) -> None:
    client.config_set("appendonly", "no")


def evicting(client: Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")


def nearly_full(client: Redis) -> None:
    client.config_set("maxmemory", int(client.info()["used_memory"] * 1.05))


def full(client: Redis) -> None:
    client.config_set("maxmemory", "1")


def replica(client: Redis) -> None:
    client.replicaof("127.0.0.1", str(free_port()))


@pytest.mark.parametrize(
    ("change", "line", "state", "words"),
    [
        (forgetful, "persistence", State.WARNING, "appendonly is off"),
        (evicting, "eviction", State.FAULT, "allkeys-lru"),
        (nearly_full, "eviction", State.WARNING, "of maxmemory are used"),
        (full, "broker", State.FAULT, "its memory is full"),
        (replica, "broker", State.FAULT, "it is a replica"),
    ],
)
def test_a_server_that_is_not(
    server: QueueServer, change: Callable[[Redis], None], line: str, state: State, words: str
) -> None:
    with server.client() as client:
        change(client)
    found = asked(server.url)
    assert found[line].state is state
    assert words in found[line].seen
    assert found[line].advice
    assert [name for name, verdict in found.items() if verdict.state is not State.OK] == [line]


def test_a_server_that_does_not_speak_about_itself(server: QueueServer) -> None:
    with server.client() as client:
        client.acl_setuser(
            "mute", enabled=True, passwords=["+pw"], categories=["+@all"], commands=["-info"], keys=["*"]
        )
    found = asked(server.url.replace(f":{server.password}@", "mute:pw@"))
    assert found["broker"].state is State.OK
    assert {found[name].state for name in ("persistence", "eviction")} == {State.UNASKED}


def test_another_password_and_a_server_that_is_not_there(server: QueueServer) -> None:
    refused = asked(server.url.replace(server.password, "another"))["broker"]
    assert refused.state is State.FAULT
    assert "password" in refused.seen
    away = asked(f"redis://:{server.password}@127.0.0.1:{free_port()}/0")["broker"]
    assert away.state is State.FAULT
    assert "does not answer" in away.seen


def test_a_server_whose_clock_is_another(monkeypatch: pytest.MonkeyPatch, server: QueueServer) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    found = asked(server.url)["broker's clock"]
    assert found.state is State.FAULT
    assert "3,600 s ahead of ours" in found.seen


def test_without_a_broker_a_private_one_is_started() -> None:
    (found,) = broker.ask(Night(Settings()))
    assert found.state is State.OK
