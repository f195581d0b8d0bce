"""The limits that the system sets to a process: open files, and memory by the machine and by its cgroup."""

import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from config.machine import child_bytes, children_and_threads
from jobs.doctor.verdict import Night, State, Verdict

LEAST_DESCRIPTORS: Final = 64
"""A worker with one child had 40 files open."""

DESCRIPTORS: Final = 1024
"""Linux' usual limit."""

MEMINFO: Final = Path("/proc/meminfo")
CGROUPS: Final = Path("/sys/fs/cgroup")
OWN_CGROUPS: Final = Path("/proc/self/cgroup")

_MIB: Final = 1 << 20


def descriptors(_: Night) -> Iterator[Verdict]:
    """Ask how many files a process may have open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        yield Verdict("descriptors", State.OK, "a process may have any number of files open")
        return
    seen = f"a process may have {soft:,} files open"
    if soft >= DESCRIPTORS:
        yield Verdict("descriptors", State.OK, seen)
        return
    yield Verdict(
        "descriptors",
        State.FAULT if soft < LEAST_DESCRIPTORS else State.WARNING,
        seen,
        f"raise it to {DESCRIPTORS:,}: ulimit -n {DESCRIPTORS}, or LimitNOFILE={DESCRIPTORS} in the unit",
    )


def memory(night: Night) -> Iterator[Verdict]:
    """Compare what the worker's children need with what is free."""
    children, _ = children_and_threads(night.settings)
    free, whose = _free()
    each = child_bytes(night.settings)
    need = children * each
    seen = f"{children} children need {need // _MIB:,} MiB; {free // _MIB:,} MiB {whose}"
    if need <= free:
        yield Verdict("memory", State.OK, seen)
        return
    fit = free // each
    yield Verdict(
        "memory",
        State.WARNING if fit else State.FAULT,
        seen,
        f"set NIGHTREAD_CHILDREN={fit}, or free memory" if fit else "free memory, or use another machine",
    )


def _free() -> tuple[int, str]:
    """Return the bytes that can still be had, and what sets the limit."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise OSError(f"{MEMINFO} does not say what is available")
    limits = [(int(found[1]) << 10, "are free")]
    limits += [(left, "are left in the control group") for left in _left_in_cgroups()]
    return min(limits)


def _left_in_cgroups() -> Iterator[int]:
    """Return what each control group above this process leaves: cgroups(7), versions 1 and 2."""
    for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            root, limit, usage = CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        elif not controllers:
            root, limit, usage = CGROUPS, "memory.max", "memory.current"
        else:
            continue
        folder = root / path.lstrip("/")
        # Within a container its own group is mounted as the root, and the path may be the host's.
        for group in {root, *(above for above in (folder, *folder.parents) if above.is_relative_to(root))}:
            try:
                most, used = (group / limit).read_text("ascii"), (group / usage).read_text("ascii")
            except OSError:
                continue
            if most.strip() != "max":
                yield max(0, int(most) - int(used))
