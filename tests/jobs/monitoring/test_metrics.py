"""The metrics as Prometheus' own parser reads them, and that dashboard and rules name no others."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support import ROOT, Nightread, QueueServer, documented_failures, free_port, make_run, score_batches

from config.failures import Reason, Stage
from db.database import Database
from db.outcomes import Failed, Outcome
from jobs.dispatch.broker import Broker
from jobs.monitoring.metrics import registry

MONITORING = ROOT / "docs" / "monitoring"
Sample = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> tuple[dict[Sample, float], set[str]]:
    """The samples by name and labels, and the names that there are, also those without a sample yet."""
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    return samples, names


def read(database: Database, broker: Broker | None) -> tuple[dict[Sample, float], set[str]]:
    return parsed(generate_latest(registry(database, broker)).decode())


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def expressions() -> Mapping[str, str]:
    """What the dashboard's panels and the rules ask Prometheus, by their titles."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    found = {
        f"{panel['title']} {target['refId']} {panel['type']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel["targets"]
    }
    return found | {rule["alert"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def spoiled(outcome: Outcome) -> Outcome:
    return Failed(outcome.image_id, Stage.READ, Reason.TRUNCATED, "ends early")


@pytest.mark.processes
def test_ledger_and_queue_are_read_by_prometheus_own_parser(
    sqlite: Database, tmp_path: Path, queue_server: QueueServer
) -> None:
    score_batches(sqlite, tmp_path / "models", make_run(sqlite, tmp_path, 8))
    score_batches(sqlite, tmp_path / "models", make_run(sqlite, tmp_path, 4), spoiled)
    broker = Broker.connect(queue_server.url, 10.0)
    samples, names = read(sqlite, broker)
    assert samples[sample("nightread_images_scored_total")] == 8
    assert samples[sample("nightread_images_failed_total", stage="read", reason="truncated")] == 4
    assert samples[sample("nightread_batches", state="done")] == 3
    assert samples[sample("nightread_queue_length")] == 0
    assert samples[sample("nightread_up", server="broker")] == 1

    for title, expression in expressions().items():
        asked = set(re.findall(r"\bnightread_\w+", expression))
        assert asked, title
        assert asked <= names, title
        for name, label, words in re.findall(r'(nightread_\w+)\{(\w+)=~"([\w|]+)"\}', expression):
            for word in words.split("|"):
                assert sample(name, **{label: word}) in samples, title


def test_each_reason_is_0_before_the_first_failure(sqlite: Database) -> None:
    samples, _ = read(sqlite, None)
    failed = {key: count for key, count in samples.items() if key[0] == "nightread_images_failed_total"}
    assert set(failed.values()) == {0}
    assert len(failed) == len(documented_failures())


def test_no_label_says_whose_images_they_are(sqlite: Database, tmp_path: Path) -> None:
    score_batches(sqlite, tmp_path / "models", make_run(sqlite, tmp_path, 8), spoiled)
    text = generate_latest(registry(sqlite, None)).decode()
    assert str(tmp_path) not in text
    assert ".png" not in text
    labels = set(re.findall(r"[{,](\w+)=", text))
    assert labels == {"server", "version", "stage", "reason", "status", "state"}


def test_servers_that_are_away_are_numbers_and_no_traceback() -> None:
    database = Database(f"postgresql://me:secret@127.0.0.1:{free_port()}/none")
    samples, _ = read(database, Broker.connect(f"redis://127.0.0.1:{free_port()}/0", 10.0))
    assert samples == {
        sample("nightread_up", server="database"): 0,
        sample("nightread_up", server="broker"): 0,
        next(key for key in samples if key[0] == "nightread_info"): 1,
    }


def test_every_alert_leads_to_its_part_of_the_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    rules: Any = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/operations.md"
        assert anchor in anchors, rule["alert"]


def test_the_command_prints_writes_a_whole_file_and_says_what_it_cannot(
    nightread: Nightread, tmp_path: Path
) -> None:
    printed = nightread.call("metrics")
    assert printed.returncode == 0, printed.stderr
    file = tmp_path / "nightread.prom"
    file.write_text("what was there before")
    assert nightread.call("metrics", "--textfile", file).returncode == 0
    assert parsed(file.read_text())[1] == parsed(printed.stdout)[1]
    assert list(tmp_path.glob(".*")) == []
    assert file.stat().st_mode & 0o777 == 0o644

    refused = nightread.call("metrics", "--textfile", tmp_path / "gone" / "nightread.prom")
    assert refused.returncode == 1
    assert "cannot be written: No such file or directory" in refused.stderr
