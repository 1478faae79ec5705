"""Is the catalog on a disk of this machine? SQLite's WAL needs shared memory and locks that network file systems fake.

Refused are network file systems, and FUSE but for the few kinds that only rearrange local files: a catalog that is
damaged silently costs weeks, a catalog that has to be put elsewhere costs a minute.

Source: sqlite.org, "Write-Ahead Logging" ("WAL does not work over a network filesystem") and "How To Corrupt An SQLite
Database File", section 2, read 2026-11; proc(5) for the fields of mountinfo.
"""

from __future__ import annotations

import os
from pathlib import Path

from sync_cloud_storage.errors import EnvironmentFault

NETWORK = frozenset({
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "beegfs", "gpfs", "glusterfs",
    "pvfs2", "davfs",
})  # fmt: skip
LOCAL_FUSE = frozenset({
    "fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.bindfs", "fuse.gocryptfs", "fuse.encfs", "fuse.ntfs-3g",
})  # fmt: skip


def require_local_disk(path: Path) -> None:
    """Raise unless the folder of *path* is on a local file system. Systems without mountinfo are believed.

    Raises:
        EnvironmentFault: `CATALOG-NETWORK`.
    """
    try:
        device = path.parent.stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return  # opening the catalog says it better
    kind = file_system(device, mounts)
    if is_network(kind):
        raise EnvironmentFault(
            "CATALOG-NETWORK",
            f"The catalog '{path}' would lie on a network file system ({kind}), where SQLite can be damaged.",
            "Set DB_FILE to a path on a local disk of this machine.",
        )


def is_network(kind: str) -> bool:
    """Say whether a catalog on this type of file system is refused."""
    return kind in NETWORK or ((kind == "fuse" or kind.startswith("fuse.")) and kind not in LOCAL_FUSE)


def file_system(device: int, mountinfo: str) -> str:
    """Type of the file system with this device number, out of the text of mountinfo; "" when it is not there."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields = mount.split()
        if len(fields) > 2 and fields[2] == number:
            return source.split(" ", 1)[0]
    return ""
