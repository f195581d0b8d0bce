"""Which kind of file system a folder lies on, by the kernel's list of mounts."""

import re
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")
"""proc(5): mount point in the fifth field, the kind in the first one after the dash."""

_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "gfs2", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
)
_VOLATILE: Final = {"tmpfs": "memory", "ramfs": "memory", "overlay": "a container's own layer"}


def existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that is there."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def kind_of(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the kind of the file system that a path lies on, or will; OSError where nothing says it."""
    place = existing(path).resolve()
    found = (-1, "unknown")
    for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields, _, about = line.partition(" - ")
        # Spaces and the like are written by their octal codes.
        point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields.split()[4]))
        depth = len(point.parts)
        # Of two at one place the later one covers the other.
        if depth >= found[0] and place.is_relative_to(point):
            found = (depth, about.split()[0])
    return found[1]


def is_network(kind: str) -> bool:
    """Return whether files of this kind lie on another machine."""
    return kind in _NETWORK or kind.startswith("fuse.")


def lost_with(kind: str) -> str | None:
    """Return what files of this kind are lost with; None where they stay."""
    return _VOLATILE.get(kind)
