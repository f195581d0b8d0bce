"""Open files and memory: by this process's own limits, and by files as the kernel writes them."""

import resource
from pathlib import Path

import pytest

from config.settings import Settings
from jobs.doctor import limits
from jobs.doctor.verdict import Night, State, Verdict

GIB = 1 << 30


def test_a_limit_on_open_files_is_named_with_the_command_that_raises_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found: list[Verdict] = []
    try:
        for limit in (48, 512, 1024):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            found += limits.descriptors(Night(Settings()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [verdict.state for verdict in found] == [State.FAULT, State.WARNING, State.OK]
    assert "48 files" in found[0].seen
    assert "ulimit -n 1024" in found[0].advice


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with 8 GiB available whose control groups a test writes below `cgroup`."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    (tmp_path / "own").write_text("0::/\n")
    monkeypatch.setattr(limits, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(limits, "OWN_CGROUPS", tmp_path / "own")
    monkeypatch.setattr(limits, "CGROUPS", tmp_path / "cgroup")
    return tmp_path


def group(
    folder: Path, limit: str, used: int, names: tuple[str, str] = ("memory.max", "memory.current")
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(names, (limit, str(used)), strict=True):
        (folder / name).write_text(f"{value}\n")


def memory(children: int) -> Verdict:
    (found,) = limits.memory(Night(Settings(children=children, engine="tensorflow")))
    return found


def test_children_that_the_free_memory_does_not_hold_are_fewer(machine: Path) -> None:
    assert memory(5).state is State.OK
    found = memory(6)
    assert found.state is State.WARNING
    assert "6 children need 8,400 MiB; 8,192 MiB are free" in found.seen
    assert "NIGHTREAD_CHILDREN=5" in found.advice
    (machine / "meminfo").write_text("MemAvailable: 1000 kB\n")
    assert memory(1).state is State.FAULT


def test_the_tightest_control_group_above_us_counts(machine: Path) -> None:
    (machine / "own").write_text("0::/batch/night\n")
    group(machine / "cgroup" / "batch", str(6 * GIB), GIB)
    group(machine / "cgroup" / "batch" / "night", "max", GIB)
    found = memory(4)
    assert found.state is State.WARNING
    assert "5,120 MiB are left in the control group" in found.seen
    assert "NIGHTREAD_CHILDREN=3" in found.advice


def test_a_containers_own_group_is_mounted_as_the_root(machine: Path) -> None:
    (machine / "own").write_text("0::/docker/0123\n")
    group(machine / "cgroup", str(GIB), 0)
    assert memory(1).state is State.FAULT


def test_the_groups_of_the_first_version_count_too(machine: Path) -> None:
    (machine / "own").write_text("3:cpu:/night\n9:memory:/night\n0::/\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    group(machine / "cgroup" / "memory" / "night", str(3 * GIB), 2 * GIB, names)
    group(machine / "cgroup" / "memory", str((1 << 63) - 4096), 0, names)
    assert "1,024 MiB are left" in memory(1).seen
