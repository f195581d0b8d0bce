"""Settings come from the environment; a wrong one stops the start and is named, its value is not shown."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import load_settings


def test_nothing_has_to_be_set() -> None:
    settings = load_settings()
    assert settings.broker_url is None
    assert settings.embedded_database
    assert settings.database == f"sqlite:///{Path.cwd() / 'nightread-home' / 'nightread.db'}"
    assert settings.overlays == Path.cwd() / "nightread-home" / "heatmaps"


def test_every_folder_follows_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTREAD_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.database == f"sqlite:///{tmp_path / 'nightread.db'}"
    assert (settings.overlays, settings.models) == (tmp_path / "heatmaps", tmp_path / "models")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTREAD_DATABASE_URL", "mysql://user:hunter2@host/name"),
        ("NIGHTREAD_DATABASE_URL", "sqlite://"),
        ("NIGHTREAD_BROKER_URL", "amqp://user:hunter2@host"),
        ("NIGHTREAD_LEASE_SECONDS", "0"),
        ("NIGHTREAD_LEASE_SECONDS", "hunter2"),
        ("NIGHTREAD_MAX_ATTEMPTS", "-1"),
        ("NIGHTREAD_CHILDREN", "1.5"),
        ("NIGHTREAD_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_names_its_variable_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{name}: ")
    assert "hunter2" not in str(caught.value)


def test_a_misspelt_variable_is_named_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_BROKER_URI", "redis://:hunter2@host")
    meant = "NIGHTREAD_BROKER_URI is no setting; is NIGHTREAD_BROKER_URL meant"
    with pytest.raises(ConfigError, match=meant) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_a_variable_of_somebody_else_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    # Kubernetes sets such ones for a service that is called nightread.
    monkeypatch.setenv("NIGHTREAD_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("NIGHTREAD_PORT_5555_TCP", "tcp://10.0.0.1:5555")
    load_settings()


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "DATABASE_URL", "FLOWER_PASSWORD", "CHILDREN", "HEATMAP_DIR", "LEASE_SECONDS"):
        monkeypatch.setenv(f"NIGHTREAD_{name}", "")
    settings = load_settings()
    assert settings.broker_url is None
    assert settings.flower_password is None
    assert settings.children is None
    assert settings.lease_seconds == 60.0


def test_passwords_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTREAD_BROKER_URL", "redis://:hunter2@host:6379/0")
    monkeypatch.setenv("NIGHTREAD_DATABASE_URL", "postgresql://me:hunter2@host/name")
    monkeypatch.setenv("NIGHTREAD_FLOWER_PASSWORD", "hunter2")
    assert "hunter2" not in repr(load_settings())
