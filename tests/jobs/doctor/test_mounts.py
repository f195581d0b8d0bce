"""A path's file system, by lists of mounts as the kernel writes them."""

from pathlib import Path

import pytest

from jobs.doctor.mounts import existing, is_network, kind_of, lost_with

MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
31 27 0:29 / {archive} rw,relatime shared:5 master:1 - nfs4 server:/export rw,vers=4.2
32 31 0:30 / {archive}/fast\\040disk rw - xfs /dev/vdb rw
33 27 0:31 / {archive}-2 rw - tmpfs tmpfs rw
34 33 0:32 / {archive}-2 rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("", "nfs4"),
        ("a/b", "nfs4"),
        ("fast disk/c", "xfs"),
        ("../archive-2/d", "cifs"),
        ("../elsewhere", "ext4"),
    ],
)
def test_the_innermost_and_last_mount_counts(tmp_path: Path, path: str, kind: str) -> None:
    archive = tmp_path / "archive"
    (archive / "fast disk").mkdir(parents=True)
    (tmp_path / "archive-2").mkdir()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(archive=archive))
    assert kind_of(archive / path, mounts) == kind


def test_this_machines_own_list_is_read() -> None:
    assert kind_of(Path("/proc/self")) == "proc"
    assert lost_with(kind_of(Path("/dev/shm/nothing/there"))) == "memory"  # noqa: S108  # where tmpfs always is


def test_network_drives_are_told_from_local_disks() -> None:
    assert all(is_network(kind) for kind in ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"))
    assert not any(is_network(kind) for kind in ("ext4", "xfs", "btrfs", "zfs", "fuseblk", "overlay"))


def test_a_path_that_is_not_there_lies_where_its_nearest_folder_does(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b" / "c") == tmp_path
