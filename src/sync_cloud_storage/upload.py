"""The verb *upload*: one file from the NAS to S3, hashed again while it is read, checked by S3 on arrival.

The CRC64NVME of the download travels in a signed header, so S3 refuses bytes that are not those of the download. Large
files go as a multipart upload whose parts are sent side by side; after a kill it goes on with the parts that S3 has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.checksum import combine_all, crc64nvme, crc_to_s3
from sync_cloud_storage.errors import BlobFault, Kind, ScsError
from sync_cloud_storage.http.messages import Aside, Each, Together
from sync_cloud_storage.model import Failed, Leg, Rotten, Upload, Uploaded, UploadOpened
from sync_cloud_storage.names import object_key
from sync_cloud_storage.s3 import MAX_OBJECT_BYTES, HashSink, part_size_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Story
    from sync_cloud_storage.model import Result
    from sync_cloud_storage.nas import Nas, ReadFile
    from sync_cloud_storage.s3 import S3, Part, Stored

SMALL_BYTES = 1 << 20  # up to here a file is read whole, with others, away from the network's thread
PARTS_AT_ONCE = 8
READ_STEP_BYTES = 1 << 20


class Uploader:
    """Brings files of one NAS to one bucket.

    Args:
        nas: Where from.
        s3: Where to.
        multipart_from_bytes: Files of this length and more go in parts.
        part_bytes: Wanted length of the parts; 0 chooses.
        now: UTC text.
        give: Takes results that are not the last word (`UploadOpened`).
    """

    def __init__(
        self,
        nas: Nas,
        s3: S3,
        *,
        multipart_from_bytes: int,
        part_bytes: int,
        now: Callable[[], str],
        give: Callable[[Result], None],
    ) -> None:
        self._nas = nas
        self._s3 = s3
        self._multipart_from_bytes = multipart_from_bytes
        self._part_bytes = part_bytes
        self._now = now
        self._give = give

    def upload(self, task: Upload) -> Story[Uploaded | Rotten | Failed]:
        """The whole way of one file. Environment faults are raised; everything else is a result."""
        if task.size_bytes > MAX_OBJECT_BYTES:
            text = f"{_name(task)} has {task.size_bytes} bytes; S3 takes {MAX_OBJECT_BYTES} in one object."
            return Failed(task.id, Leg.S3, task.etag, "S3-TOO-BIG", text)
        try:
            return (yield from self._bring(task))
        except _Rot as rot:
            return Rotten(task.id, rot.code, rot.sentence, task.etag)
        except BlobFault as fault:
            return Failed(task.id, Leg.S3, task.etag, fault.code, str(fault))

    def _bring(self, task: Upload) -> Story[Uploaded]:
        about = self._s3.about_object(task.headers, task.metadata, _changed_name(task))
        if task.size_bytes >= self._multipart_from_bytes:
            way = self._in_parts
        else:
            if task.upload_id:  # the blob was larger when an upload was begun for it
                yield from self._end_all(task)
            way = self._small if task.size_bytes <= SMALL_BYTES else self._streamed
        try:
            stored: Stored = yield from way(task, about)
        except BlobFault as fault:
            if fault.code == "S3-EXISTS" and fault.kind is Kind.REPLAN:
                return (yield from self._adopt(task))
            if fault.code == "S3-DIGEST":  # rather the NAS than the network: it was tried several times
                yield Aside(self._check_file, (task,))
            raise
        return self._evidence(task, (yield from self._confirmed(task, stored)), task.size_bytes)

    # ------------------------------------------------------------------------------------------- three ways

    def _small(self, task: Upload, about: Sequence[str]) -> Story[Stored]:
        body: bytes = yield Together(self._read_many, task)
        return (yield from self._s3.put(task.s3_key, body, task.crc64nvme, about, replace=task.may_replace))

    def _streamed(self, task: Upload, about: Sequence[str]) -> Story[Stored]:
        file: ReadFile = yield Aside(self._open, (task,))
        with file:
            body = _Span(file, 0, task.size_bytes)
            stored = yield from self._s3.put(task.s3_key, body, task.crc64nvme, about, replace=task.may_replace)
            if crc_to_s3(body.crc) != task.crc64nvme:
                raise _Rot(task)
        return stored

    def _in_parts(self, task: Upload, about: Sequence[str]) -> Story[Stored]:
        file: ReadFile = yield Aside(self._open, (task,))
        with file:
            upload_id, had = yield from self._resume(task)
            if not upload_id:
                upload_id = yield from self._s3.open_upload(task.s3_key, about)
                self._give(UploadOpened(task.id, upload_id))
            step = max(
                (part.size_bytes for part in had if part.number == 1),
                default=part_size_for(task.size_bytes, self._part_bytes),
            )
            spans = [(offset, min(step, task.size_bytes - offset)) for offset in range(0, task.size_bytes, step)]
            known = {part.number: part for part in had}
            sent: list[tuple[Part, int]] = yield Each(
                (
                    self._part(task, upload_id, number, file, span, known.get(number))
                    for number, span in enumerate(spans, 1)
                ),
                PARTS_AT_ONCE,
            )
        whole = crc_to_s3(combine_all((crc, length) for (_, crc), (_, length) in zip(sent, spans, strict=True)))
        if whole != task.crc64nvme:
            yield from self._s3.end_upload(task.s3_key, upload_id)
            raise _Rot(task)
        try:
            return (
                yield from self._s3.close_upload(
                    task.s3_key, upload_id, [part for part, _ in sent], whole, task.size_bytes, replace=task.may_replace
                )
            )
        except BlobFault as fault:
            if fault.code == "S3-EXISTS":
                yield from self._s3.end_upload(task.s3_key, upload_id)
            if fault.code == "S3-UPLOAD":  # an answer was lost and the upload is closed already: the object decides
                return (yield from self._object(task))
            raise

    def _part(
        self, task: Upload, upload_id: str, number: int, file: ReadFile, span: tuple[int, int], known: Part | None
    ) -> Story[tuple[Part, int]]:
        """Send one part, unless S3 has it and its checksum is that of the bytes on the NAS."""
        crc: int = yield Aside(_hash_span, (file, *span))
        checksum = crc_to_s3(crc)
        if known is not None and known.size_bytes == span[1] and known.checksum == checksum:
            return known, crc
        return (yield from self._s3.put_part(task.s3_key, upload_id, number, _Span(file, *span), checksum)), crc

    # ------------------------------------------------------------------------------------- going on, adopting

    def _resume(self, task: Upload) -> Story[tuple[str, list[Part]]]:
        """The upload to go on with and the parts it has; others that are open for our key are ended."""
        if not task.upload_id:
            return "", []
        chosen = yield from self._end_all(task, but=task.upload_id)
        return (chosen, (yield from self._s3.parts(task.s3_key, chosen))) if chosen else ("", [])

    def _end_all(self, task: Upload, *, but: str = "") -> Story[str]:
        """End the uploads that are open for our key, *but* one; that one's id if it is open, else ""."""
        left = ""
        for upload_id in (yield from self._s3.open_uploads(task.s3_key)):
            if upload_id == but:
                left = upload_id
            else:
                yield from self._s3.end_upload(task.s3_key, upload_id)
        return left

    def _adopt(self, task: Upload) -> Story[Uploaded]:
        """An object is there that we did not know of: ours from a run that was killed, or somebody else's."""
        stored = yield from self._object(task)
        return self._evidence(task, stored, 0)

    def _object(self, task: Upload) -> Story[Stored]:
        stored = yield from self._s3.look(task.s3_key)
        if stored is None:
            raise BlobFault(
                "S3-UPLOAD",
                f"{_name(task)}: the upload ended and no object is there.",
                "",
            )
        if stored.size_bytes == task.size_bytes and not stored.checksum:
            into = HashSink()
            yield from self._s3.read(task.s3_key, into)
            stored = stored._replace(checksum=crc_to_s3(into.crc))
        if (stored.size_bytes, stored.checksum) != (task.size_bytes, task.crc64nvme):
            raise BlobFault(
                "S3-EXISTS",
                f"{_name(task)}: another object already has this key, with other bytes.",
                "Move it away, or let it be written over with --overwrite.",
            )
        return stored

    def _confirmed(self, task: Upload, stored: Stored) -> Story[Stored]:
        """The endpoint's own word on what it holds: the checksum in its answer, else it is asked again."""
        if not stored.checksum:
            asked = yield from self._s3.look(task.s3_key)
            if asked is None or asked.size_bytes != task.size_bytes:
                raise BlobFault(
                    "S3-LOST",
                    f"{_name(task)}: the endpoint took it and does not have it.",
                    "",
                )
            stored = asked._replace(version_id=stored.version_id or asked.version_id)
        if stored.checksum and stored.checksum.split("-")[0] != task.crc64nvme:
            raise BlobFault(
                "S3-DIGEST",
                f"{_name(task)}: the endpoint's checksum is {stored.checksum}, ours {task.crc64nvme}.",
                "",
            )
        return stored

    def _evidence(self, task: Upload, stored: Stored, moved: int) -> Uploaded:
        return Uploaded(task.id, task.etag, stored.etag, stored.checksum, stored.version_id, moved, self._now())

    # ----------------------------------------------------------------------------------------- from the disk

    def _open(self, task: Upload) -> ReadFile:
        try:
            file = self._nas.open_read(task.nas_path)
        except BlobFault as fault:
            raise _Rot(task) if fault.code == "NAS-LOST" else fault from None
        if file.size != task.size_bytes:
            file.close()
            raise _Rot(task)
        return file

    def _read_many(self, tasks: Sequence[Upload]) -> Sequence[bytes | ScsError]:
        bodies: list[bytes | ScsError] = []
        for task in tasks:
            try:
                with self._open(task) as file:
                    body = file.read_at(0, task.size_bytes)
                if crc_to_s3(crc64nvme(body)) != task.crc64nvme:
                    raise _Rot(task)
                bodies.append(body)
            except ScsError as error:
                bodies.append(error)
        return bodies

    def _check_file(self, task: Upload) -> None:
        with self._open(task) as file:
            if crc_to_s3(_hash_span(file, 0, task.size_bytes)) != task.crc64nvme:
                raise _Rot(task)


class _Rot(BlobFault):
    """The file is not what was downloaded: gone, shorter, or with other bytes."""

    def __init__(self, task: Upload) -> None:
        super().__init__(
            "NAS-ROT",
            f"{_name(task)}: its file on the NAS is gone or no longer has the bytes that were downloaded; "
            "it will be downloaded again.",
        )


class _Span:
    """Source: bytes of a file, hashed as they are sent."""

    def __init__(self, file: ReadFile, offset: int, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.crc = 0
        self._file = file
        self._begin = offset
        self._at = 0

    def read(self, count: int) -> bytes:
        """The next bytes."""
        data = self._file.read_at(self._begin + self._at, min(count, self.size_bytes - self._at))
        self._at += len(data)
        self.crc = crc64nvme(data, self.crc)
        return data

    def rewind(self) -> None:
        """Start over."""
        self._at = 0
        self.crc = 0


def _hash_span(file: ReadFile, offset: int, length: int) -> int:
    crc = 0
    end = offset + length
    while offset < end:
        data = file.read_at(offset, min(READ_STEP_BYTES, end - offset))
        if not data:
            break  # the file became shorter; the wrong checksum tells
        crc = crc64nvme(data, crc)
        offset += len(data)
    return crc


def _changed_name(task: Upload) -> str:
    """The name that S3 could not take as a key, to be kept as metadata; "" where the key is as it should be."""
    plain = f"{task.container}/{task.blob}"
    return plain if task.s3_key != plain and task.s3_key == object_key(plain) else ""


def _name(task: Upload) -> str:
    return f"blob '{task.blob}' of container '{task.container}' (object '{task.s3_key}')"
