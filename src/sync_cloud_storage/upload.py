"""The verb *upload*: one file from the NAS to S3, hashed again while it is read, checked by S3 on arrival.

The CRC64NVME of the download travels in a signed header, so S3 refuses bytes that are not those of the download. Large
files go as a multipart upload whose parts are sent side by side; after a kill it goes on with the parts that S3 has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.adopting import Adopter, changed_name, evidence
from sync_cloud_storage.checksum import combine_all, crc64nvme, crc_to_s3
from sync_cloud_storage.company import COMPANY_BYTES, Alone, answers_to
from sync_cloud_storage.errors import BlobFault, Kind, ScsError
from sync_cloud_storage.http.messages import Aside, Each, Together, for_one
from sync_cloud_storage.model import Failed, Leg, Rotten, Upload, Uploaded, UploadOpened
from sync_cloud_storage.s3 import MAX_OBJECT_BYTES, described_as, fits, part_size_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Request, Response, Story
    from sync_cloud_storage.model import Result
    from sync_cloud_storage.nas import Nas, ReadFile
    from sync_cloud_storage.s3 import S3, Part, Stored

SMALL_BYTES = 1 << 20  # up to here a file is read whole, with others
PARTS_AT_ONCE = 8
READ_STEP_BYTES = 1 << 20
ATTEMPTS = 3  # when the NAS is busy, or somebody ended our upload

ROT = "NAS-ROT"
_RATHER_THE_FILE = {"S3-DIGEST", "NET"}  # after several attempts it may be the file that is not as it was


class Uploader:
    """Brings files of one NAS to one bucket.

    Args:
        nas: Where from.
        s3: Where to.
        multipart_from_bytes: Files of this length and more go in parts.
        part_bytes: Wanted length of the parts; 0 chooses.
        now: UTC text.
        give: Takes results that are not the last word (`UploadOpened`).
        ask_first: Look for each object before it is sent, and adopt one that is right: where most are there already.
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
        ask_first: bool = False,
    ) -> None:
        self._nas = nas
        self._s3 = s3
        self._multipart_from_bytes = multipart_from_bytes
        self._part_bytes = part_bytes
        self._now = now
        self._give = give
        self._adopter = Adopter(s3, now) if ask_first else None
        self._names_checksums = True

    def may_join(self, task: Upload) -> bool:
        """Whether a file may go in company: small, and with nothing left over from an earlier attempt.

        Where answers name no checksum each has to be looked at alone, so company would only read the file twice.
        """
        is_small = task.size_bytes <= COMPANY_BYTES and task.size_bytes < self._multipart_from_bytes
        return is_small and not task.upload_id and self._names_checksums

    def in_company(self, tasks: Sequence[Upload]) -> Story[list[Uploaded | Alone]]:
        """The way of some small files side by side. Raises nothing: what does not go well is left to go on alone."""
        if self._adopter is not None:
            return (yield from self._adopter.in_company(tasks))
        bodies: list[bytes | ScsError] = yield Together(self._read_many, tasks)
        answers: list[Response | None] = yield from answers_to(
            [self._putting(task, body) for task, body in zip(tasks, bodies, strict=True)]
        )
        return [self._taken(task, answer) for task, answer in zip(tasks, answers, strict=True)]

    def _taken(self, task: Upload, answer: Response | None) -> Uploaded | Alone:
        stored = None if answer is None else self._s3.has_taken(answer, task.size_bytes)
        if stored is not None and stored.checksum == task.crc64nvme:
            return evidence(task, stored, task.size_bytes, self._now())
        if stored is not None and not stored.checksum:
            self._names_checksums = False
        return Alone(answer)

    def _putting(self, task: Upload, body: bytes | ScsError) -> Request | None:
        """The request for a small file; None where something about it has to be said that `upload` says."""
        if not isinstance(body, bytes):
            return None
        try:
            about = self._s3.about_object(task.headers, task.metadata, changed_name(task))
            return self._s3.putting(task.s3_key, body, task.crc64nvme, about, replace=task.may_replace)
        except BlobFault:
            return None

    def upload(self, task: Upload, first: Response | None = None) -> Story[Uploaded | Rotten | Failed]:
        """The whole way of one file. Environment faults are raised; everything else is a result.

        *first* is the answer to the PUT of a small file (or to the look at its object), where that was made already.
        """
        if task.size_bytes > MAX_OBJECT_BYTES:
            text = f"{_name(task)} has {task.size_bytes} bytes; S3 takes {MAX_OBJECT_BYTES} in one object."
            return Failed(task.id, Leg.S3, task.etag, "S3-TOO-BIG", text)
        try:
            if self._adopter is not None:
                done, task = yield from self._adopter.look(task, first)
                if done is not None:
                    return done
                first = None
            return (yield from self._bring(task, first))
        except BlobFault as fault:
            if fault.code == ROT:
                return Rotten(task.id, fault.code, fault.sentence, task.etag)
            return Failed(task.id, Leg.S3, task.etag, fault.code, str(fault))

    def _bring(self, task: Upload, first: Response | None) -> Story[Uploaded]:
        about = self._s3.about_object(task.headers, task.metadata, changed_name(task))
        way = self._in_parts
        if task.size_bytes < self._multipart_from_bytes:
            way = self._small if task.size_bytes <= SMALL_BYTES else self._streamed
            if task.upload_id:  # the blob was larger when an upload was begun for it
                yield from self._end_all(task)
        attempt = 0
        while True:
            attempt += 1
            try:
                one_try = way(task, about) if first is None else self._small(task, about, first)
                stored: Stored = yield from one_try
            except BlobFault as fault:
                first = None
                if fault.code == "S3-EXISTS" and fault.kind is Kind.REPLAN and not task.may_replace:
                    there = yield from self._object(task)
                    if described_as(there, about):
                        return evidence(task, there, 0, self._now())
                    # The right bytes under an outdated description: nothing is lost by sending them once more.
                    task = task._replace(may_replace=True)
                    attempt -= 1
                    continue
                if fault.code in _RATHER_THE_FILE:
                    yield Aside(self._check_file, (task,))
                if attempt == ATTEMPTS or not _passes(fault):
                    raise
                task = task._replace(upload_id="?" if task.upload_id or fault.code.startswith("S3-") else "")
            else:
                return evidence(task, (yield from self._confirmed(task, stored)), task.size_bytes, self._now())

    # ------------------------------------------------------------------------------------------- three ways

    def _small(self, task: Upload, about: Sequence[str], first: Response | None = None) -> Story[Stored]:
        body: bytes = yield from for_one(self._read_many, task)
        put = self._s3.put(task.s3_key, body, task.crc64nvme, about, replace=task.may_replace, first=first)
        return (yield from put)

    def _streamed(self, task: Upload, about: Sequence[str]) -> Story[Stored]:
        file: ReadFile = yield Aside(self._open, (task,))
        with file:
            # Hashed before it is sent, which also brings it into memory: an endpoint that checks nothing gets no rot.
            crc: int = yield Aside(_hash_span, (file, 0, task.size_bytes))
            if crc_to_s3(crc) != task.crc64nvme:
                raise _rot(task)
            body = _Span(file, 0, task.size_bytes, task)
            return (yield from self._s3.put(task.s3_key, body, task.crc64nvme, about, replace=task.may_replace))

    def _in_parts(self, task: Upload, about: Sequence[str]) -> Story[Stored]:
        file: ReadFile = yield Aside(self._open, (task,))
        with file:
            upload_id, had, step = yield from self._resume(task)
            if not upload_id:
                upload_id = yield from self._s3.open_upload(task.s3_key, about)
                self._give(UploadOpened(task.id, upload_id, task.etag))
            spans = [(offset, min(step, task.size_bytes - offset)) for offset in range(0, task.size_bytes, step)]
            sent: list[tuple[Part, int]] = yield Each(
                (
                    self._part(task, upload_id, number, file, span, had.get(number))
                    for number, span in enumerate(spans, 1)
                ),
                PARTS_AT_ONCE,
            )
        whole = crc_to_s3(combine_all((crc, length) for (_, crc), (_, length) in zip(sent, spans, strict=True)))
        if whole != task.crc64nvme:
            yield from self._s3.end_upload(task.s3_key, upload_id)
            raise _rot(task)
        parts = [part for part, _ in sent]
        try:
            return (
                yield from self._s3.close_upload(
                    task.s3_key, upload_id, parts, whole, task.size_bytes, replace=task.may_replace
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
        body = _Span(file, *span, task)
        return (yield from self._s3.put_part(task.s3_key, upload_id, number, body, checksum)), crc

    # ------------------------------------------------------------------------------------- going on, adopting

    def _resume(self, task: Upload) -> Story[tuple[str, dict[int, Part], int]]:
        """The upload to go on with ("" for none), its parts by number, and the length of its parts."""
        step = part_size_for(task.size_bytes, self._part_bytes)
        if not task.upload_id:
            return "", {}, step
        upload_id = yield from self._end_all(task, but=task.upload_id)
        if not upload_id:
            return "", {}, step
        had = {part.number: part for part in (yield from self._s3.parts(task.s3_key, upload_id))}
        begun = had[1].size_bytes if 1 in had else step
        if begun == step or fits(begun, task.size_bytes):
            return upload_id, had, begun
        yield from self._s3.end_upload(task.s3_key, upload_id)
        return "", {}, step

    def _end_all(self, task: Upload, *, but: str = "") -> Story[str]:
        """End the uploads that are open for our key, *but* one; that one's id if it is open, else ""."""
        left = ""
        for upload_id in (yield from self._s3.open_uploads(task.s3_key)):
            if upload_id == but:
                left = upload_id
            else:
                yield from self._s3.end_upload(task.s3_key, upload_id)
        return left

    def _object(self, task: Upload) -> Story[Stored]:
        """An object is there that we did not know of: ours from a run that was killed, or somebody else's."""
        stored = yield from self._s3.look(task.s3_key)
        if stored is None:
            raise BlobFault("S3-UPLOAD", f"{_name(task)}: the upload ended and no object is there.")
        if stored.size_bytes == task.size_bytes and not stored.checksum:
            stored = stored._replace(checksum=(yield from self._s3.hash_object(task.s3_key, task.size_bytes)))
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
                raise BlobFault("S3-LOST", f"{_name(task)}: the endpoint took it and does not have it.")
            stored = asked._replace(version_id=stored.version_id or asked.version_id)
        if stored.checksum and stored.checksum.split("-")[0] != task.crc64nvme:
            text = f"{_name(task)}: the endpoint's checksum is {stored.checksum}, ours {task.crc64nvme}."
            raise BlobFault("S3-DIGEST", text)
        return stored

    # ----------------------------------------------------------------------------------------- from the disk

    def _open(self, task: Upload) -> ReadFile:
        try:
            file = self._nas.open_read(task.nas_path)
        except BlobFault as fault:
            raise _rot(task) if fault.code == "NAS-LOST" else fault from None
        if file.size != task.size_bytes:
            file.close()
            raise _rot(task)
        return file

    def _read_many(self, tasks: Sequence[Upload]) -> Sequence[bytes | ScsError]:
        bodies: list[bytes | ScsError] = []
        for task in tasks:
            try:
                with self._open(task) as file:
                    body = file.read_at(0, task.size_bytes)
                if crc_to_s3(crc64nvme(body)) != task.crc64nvme:
                    raise _rot(task)
                bodies.append(body)
            except ScsError as error:
                bodies.append(error)
        return bodies

    def _check_file(self, task: Upload) -> None:
        with self._open(task) as file:
            if crc_to_s3(_hash_span(file, 0, task.size_bytes)) != task.crc64nvme:
                raise _rot(task)


class _Span:
    """Source: bytes of a file as they are sent."""

    def __init__(self, file: ReadFile, offset: int, size_bytes: int, task: Upload) -> None:
        self.size_bytes = size_bytes
        self._file = file
        self._begin = offset
        self._at = 0
        self._task = task

    def read(self, count: int) -> bytes:
        """The next bytes."""
        data = self._file.read_at(self._begin + self._at, min(count, self.size_bytes - self._at))
        if not data and self._at < self.size_bytes:
            raise _rot(self._task)  # it became shorter under our hands
        self._at += len(data)
        return data

    def rewind(self) -> None:
        """Start over."""
        self._at = 0


def _passes(fault: BlobFault) -> bool:
    """Whether another attempt may help: the NAS was busy, or somebody ended our upload."""
    return (fault.kind is Kind.RETRY and fault.code.startswith("NAS-")) or fault.code in {"S3-UPLOAD", "S3-PART"}


def _rot(task: Upload) -> BlobFault:
    return BlobFault(
        ROT,
        f"{_name(task)}: its file on the NAS is gone or no longer has the bytes that were downloaded; "
        "it has to be downloaded again.",
    )


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


def _name(task: Upload) -> str:
    return f"Blob '{task.blob}' in container '{task.container}' (object '{task.s3_key}')"
