"""The door to files on the NAS. Floor 1: knows paths and bytes, not blobs and not the catalog.

Nothing is written outside the folder that was opened, nothing below an empty mount point, and a file at its final path
is whole: bytes go to `.scs/tmp/`, are flushed, renamed, and the folder is flushed, in groups (`Nas.publish`).

    faults.py   what the kernel's error numbers mean to us: one table
    folders.py  folders, held open and reached from the root without following a link
    temp.py     temporary files, whole or in ranges with a journal
    marker.py   what tells this NAS from another one, and from an empty folder
    manifest.py what was downloaded, written beside the data
    publish.py  from temporary files to files at their places
    door.py     `Nas`: all of it together
"""

from __future__ import annotations

from sync_cloud_storage.nas.door import Nas, ReadFile
from sync_cloud_storage.nas.manifest import ManifestWriter
from sync_cloud_storage.nas.marker import create_marker
from sync_cloud_storage.nas.publish import Publication
from sync_cloud_storage.nas.temp import Partial, Temp

__all__ = ["ManifestWriter", "Nas", "Partial", "Publication", "ReadFile", "Temp", "create_marker"]
