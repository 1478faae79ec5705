"""The verb *xcheck*, row by row: is the file on the NAS and the object in S3 what the catalog says they are?

Each object is asked the cheapest question that suffices: none, where a report of S3's tells its checksum; none, where a
listing of the bucket shows the very object that was proven before; else its head; and with *deep* all of its bytes,
where the endpoint has no checksum to give (docs/adr/0017).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sync_cloud_storage.checksum import crc_to_s3
from sync_cloud_storage.company import Alone, answers_to
from sync_cloud_storage.errors import BlobFault, ScsError
from sync_cloud_storage.http.messages import Aside, Together, for_one
from sync_cloud_storage.model import ASKED, READ, TOLD, Checked, Evidence, FilesSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Request, Response, Story
    from sync_cloud_storage.model import Check, Files
    from sync_cloud_storage.nas import Nas
    from sync_cloud_storage.s3 import S3, Stored

_CRC = "CRC64NVME"


class _Found(NamedTuple):
    """What was found in one place: "" as it should be, else `CODE: sentence`; None: not looked at."""

    text: str | None = None
    proven: bool = False
    etag: str = ""
    evidence: tuple[Evidence, ...] = ()


class Checker:
    """Holds files and objects against the catalog.

    Args:
        nas: Where files are; None: not looked at.
        s3: Where objects are; None: likewise.
        pace: Called with the bytes that were read from the NAS; waits where that went too fast.
    """

    def __init__(self, nas: Nas | None, s3: S3 | None, pace: Callable[[int], None]) -> None:
        self._nas = nas
        self._s3 = s3
        self._pace = pace

    def may_join(self, task: Check) -> bool:
        """Whether a row may be checked in company: nothing of it is to be read."""
        return not task.deep

    def in_company(self, tasks: Sequence[Check]) -> Story[list[Checked | Alone]]:
        """Check some rows side by side. Raises nothing: what is not as it should be is left to be looked at alone."""
        files: list[_Found | ScsError] = yield Together(self._sizes, tasks)
        answers = yield from answers_to([self._looking(task) for task in tasks])
        return [
            self._as_it_should_be(task, file, answer) or Alone(answer)
            for task, file, answer in zip(tasks, files, answers, strict=True)
        ]

    def _looking(self, task: Check) -> Request | None:
        """The request about an object; None where there is nothing to ask, or something to say that `check` says."""
        if self._s3 is None or not task.s3_key or task.seen or task.told:
            return None
        try:
            return self._s3.looking(task.s3_key)
        except BlobFault:
            return None

    def _as_it_should_be(self, task: Check, file: _Found | ScsError, answer: Response | None) -> Checked | None:
        if isinstance(file, ScsError):
            return None
        found = _Found()
        if self._s3 is not None and task.s3_key:
            if task.seen or task.told:
                found = _without_asking(task)
            else:
                stored = self._s3.describes(answer) if answer is not None else None
                if stored is None:
                    return None
                found = _judged(task, stored, ASKED)
        return self._checked(task, file, found)

    def check(self, task: Check, first: Response | None = None) -> Story[Checked]:
        """Look at the row's file (size; bytes with `deep`) and object (size and full-object checksum).

        What cannot be asked is no difference: it is `trouble`, and the row is not proven. *first* is the answer to the
        first question about the object, where it was asked already.
        """
        file, found, trouble = _Found(), _Found(), ""
        try:
            if task.nas_path and self._nas is not None:
                file = (yield Aside(self._bytes, (task,))) if task.deep else (yield from for_one(self._sizes, task))
            if task.s3_key and self._s3 is not None:
                found = yield from self._object(task, self._s3, first)
        except BlobFault as fault:
            trouble = f"{fault.code}: {fault}"
        return self._checked(task, file, found, trouble)

    def files(self, task: Files) -> Story[FilesSeen]:
        """Look at the files of many rows of which nothing else is to be asked."""
        seen: FilesSeen = yield Aside(self._look_at_files, (task,))
        return seen

    def _look_at_files(self, task: Files) -> FilesSeen:
        wrong = []
        rows = task.listed()
        sizes = _need(self._nas).sizes_of([path for _, path, _ in rows])
        for (row_id, path, size_bytes), size in zip(rows, sizes, strict=True):
            if size == size_bytes:
                continue
            trouble = ""
            if isinstance(size, BlobFault):
                found = _no_file(size) or _Found()
                trouble = "" if found.text else f"{size.code}: {size}"
            else:
                found = _same_size(path, size_bytes, size)
            wrong.append(Checked(row_id, found.text, None, trouble=trouble, evidence=found.evidence, asked=False))
        return FilesSeen(task.file_count, tuple(wrong))

    def _checked(self, task: Check, file: _Found, found: _Found, trouble: str = "") -> Checked:
        evidence = file.evidence + found.evidence
        asked = bool(self._s3 is not None and task.s3_key and (task.told or not task.seen))
        return Checked(
            task.id, file.text, found.text, found.proven, trouble, found.etag, evidence, task.fetch_again, asked
        )

    # --------------------------------------------------------------------------------------------- the object

    def _object(self, task: Check, s3: S3, first: Response | None) -> Story[_Found]:
        if task.seen or task.told:
            return _without_asking(task)
        stored = yield from s3.look(task.s3_key, first)
        if stored is None:
            return _Found(f"S3-LOST: There is no object '{task.s3_key}'.")
        how = ASKED
        if not stored.checksum and task.deep and stored.size_bytes == task.size_bytes:
            how = READ
            stored = stored._replace(checksum=(yield from s3.hash_object(task.s3_key, task.size_bytes)))
        return _judged(task, stored, how)

    # ----------------------------------------------------------------------------------------------- the file

    def _sizes(self, tasks: Sequence[Check]) -> Sequence[_Found | ScsError]:
        return [self._size(task) for task in tasks]

    def _size(self, task: Check) -> _Found | ScsError:
        if not task.nas_path or self._nas is None:
            return _Found()
        try:
            return _same_size(task.nas_path, task.size_bytes, self._nas.size_of(task.nas_path))
        except ScsError as fault:
            return _no_file(fault) or fault

    def _bytes(self, task: Check) -> _Found:
        try:
            size, crc = _need(self._nas).hash_file(task.nas_path, self._pace)
        except BlobFault as fault:
            if (found := _no_file(fault)) is not None:
                return found
            raise
        found = _same_size(task.nas_path, task.size_bytes, size)
        if found.text:
            return found
        value = crc_to_s3(crc)
        text = "" if value == task.crc64nvme else _rot(task)
        return _Found(text, evidence=(Evidence("nas", _CRC, value, size, "", READ),))


def _without_asking(task: Check) -> _Found:
    """What is known of an object by a report that tells its checksum, or else by a listing that shows it again."""
    if not task.told:  # a report is about the bytes as they lie there, long after they were proven
        return _Found("", proven=True, etag=task.s3_etag)
    text = "" if task.told == task.crc64nvme else _digest(task, task.told)
    said = Evidence("s3", _CRC, task.told, task.size_bytes, task.s3_etag, TOLD)
    return _Found(text, proven=not text, etag=task.s3_etag, evidence=(said,))


def _judged(task: Check, stored: Stored, how: str) -> _Found:
    """What the endpoint says of an object, held against the row."""
    if stored.size_bytes != task.size_bytes:
        text = f"S3-SIZE: The object '{task.s3_key}' has {stored.size_bytes} bytes, the blob {task.size_bytes}."
        said = Evidence("s3", "size", str(stored.size_bytes), stored.size_bytes, stored.etag, how)
        return _Found(text, etag=stored.etag, evidence=(said,))
    if not stored.checksum:
        return _Found("", etag=stored.etag)
    text = "" if stored.checksum == task.crc64nvme else _digest(task, stored.checksum)
    said = Evidence("s3", _CRC, stored.checksum, stored.size_bytes, stored.etag, how)
    return _Found(text, proven=not text, etag=stored.etag, evidence=(said,))


def _same_size(path: str, size_bytes: int, size: int | None) -> _Found:
    if size is None:
        return _Found(f"NAS-LOST: The file '{path}' is not on the NAS.")
    if size != size_bytes:
        said = Evidence("nas", "size", str(size), size, "", "its length was looked at")
        return _Found(f"NAS-SIZE: The file '{path}' has {size} bytes, the blob {size_bytes}.", evidence=(said,))
    return _Found("")


def _need(nas: Nas | None) -> Nas:
    if nas is None:
        raise RuntimeError("a task came for a NAS that this worker was not given")
    return nas


def _no_file(fault: ScsError) -> _Found | None:
    """What a fault says about the file itself; None for one about the NAS, or about our access to it."""
    return _Found(f"{fault.code}: {fault.sentence}") if fault.code in {"NAS-LOST", "NAS-TYPE"} else None


def _rot(task: Check) -> str:
    return f"NAS-ROT: The bytes of the file '{task.nas_path}' are not those that were downloaded."


def _digest(task: Check, checksum: str) -> str:
    return f"S3-DIGEST: The object '{task.s3_key}' has checksum {checksum}, the blob {task.crc64nvme}."
