"""The verb *xcheck*, one row at a time: is the file on the NAS and the object in S3 what the catalog says they are?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.checksum import crc_to_s3
from sync_cloud_storage.errors import BlobFault
from sync_cloud_storage.http.messages import Aside
from sync_cloud_storage.model import Check, Checked

if TYPE_CHECKING:
    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.nas import Nas
    from sync_cloud_storage.s3 import S3


def check(task: Check, nas: Nas | None, s3: S3 | None) -> Story[Checked]:
    """Look at the row's file (size; bytes with `deep`) and object (size and full-object checksum).

    What cannot be asked is no difference: it is `trouble`, and the row is not proven.
    """
    on_nas = in_s3 = None
    proven = False
    trouble = ""
    try:
        if task.nas_path and nas is not None:
            on_nas = yield Aside(_check_file, (task, nas))
        if task.s3_key and s3 is not None:
            in_s3, proven = yield from _check_object(task, s3)
    except BlobFault as fault:
        trouble = f"{fault.code}: {fault}"
    return Checked(task.id, on_nas, in_s3, proven, trouble)


def _check_file(task: Check, nas: Nas) -> str:
    try:
        size, crc = nas.hash_file(task.nas_path) if task.deep else (nas.size_of(task.nas_path), None)
    except BlobFault as fault:
        if fault.code not in {"NAS-LOST", "NAS-TYPE"}:
            raise
        return f"{fault.code}: {fault.sentence}"
    if size is None:
        return f"NAS-LOST: The file '{task.nas_path}' is not on the NAS."
    if size != task.size_bytes:
        return f"NAS-SIZE: The file '{task.nas_path}' has {size} bytes, the blob {task.size_bytes}."
    if crc is not None and crc_to_s3(crc) != task.crc64nvme:
        return f"NAS-ROT: The bytes of the file '{task.nas_path}' are not those that were downloaded."
    return ""


def _check_object(task: Check, s3: S3) -> Story[tuple[str, bool]]:
    """What is wrong with the object ("" if nothing), and whether its bytes are proven."""
    stored = yield from s3.look(task.s3_key)
    if stored is None:
        return f"S3-LOST: There is no object '{task.s3_key}'.", False
    if stored.size_bytes != task.size_bytes:
        return f"S3-SIZE: The object '{task.s3_key}' has {stored.size_bytes} bytes, the blob {task.size_bytes}.", False
    if not stored.checksum and task.deep:
        stored = stored._replace(checksum=(yield from s3.hash_object(task.s3_key, task.size_bytes)))
    if stored.checksum and stored.checksum != task.crc64nvme:
        return (
            f"S3-DIGEST: The object '{task.s3_key}' has checksum {stored.checksum}, the blob {task.crc64nvme}.",
            False,
        )
    return "", bool(stored.checksum)
