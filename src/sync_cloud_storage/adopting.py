"""Objects that are there already: looked for before anything is sent, and adopted if they are what would be sent.

For a rebuild, where nearly all of them are. Elsewhere a PUT that may not replace anything finds them in one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sync_cloud_storage.company import Alone, answers_to
from sync_cloud_storage.errors import BlobFault
from sync_cloud_storage.model import Uploaded
from sync_cloud_storage.names import object_key
from sync_cloud_storage.s3 import described_as

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sync_cloud_storage.http.messages import Request, Response, Story
    from sync_cloud_storage.model import Upload
    from sync_cloud_storage.s3 import S3, Stored


class Adopter:
    """Looks for the objects of files.

    Args:
        s3: Where they may be.
        now: UTC text.
    """

    def __init__(self, s3: S3, now: Callable[[], str]) -> None:
        self._s3 = s3
        self._now = now

    def in_company(self, tasks: Sequence[Upload]) -> Story[list[Uploaded | Alone]]:
        """Look for some side by side. Raises nothing: what is not to be adopted is left to go on alone."""
        answers = yield from answers_to([self._looking(task) for task in tasks])
        return [
            self._adopted(task, None if answer is None else self._s3.describes(answer)) or Alone(answer)
            for task, answer in zip(tasks, answers, strict=True)
        ]

    def look(self, task: Upload, first: Response | None) -> Story[tuple[Uploaded | None, Upload]]:
        """Look for one: the evidence if it is right, and the task as it is to be done if not.

        *first* is the answer to the first question, where it was asked already.
        """
        try:
            there = yield from self._s3.look(task.s3_key, first)
        except BlobFault as fault:
            if fault.code != "S3-403":
                raise
            return None, task  # no right to know; the PUT will tell
        if there is not None and there.size_bytes == task.size_bytes and not there.checksum:
            there = there._replace(checksum=(yield from self._s3.hash_object(task.s3_key, task.size_bytes)))
        if there is not None and there.checksum in task.earlier.split():
            task = task._replace(may_replace=True)
        return self._adopted(task, there), task

    def _looking(self, task: Upload) -> Request | None:
        try:
            return self._s3.looking(task.s3_key)
        except BlobFault:
            return None

    def _adopted(self, task: Upload, there: Stored | None) -> Uploaded | None:
        """The evidence, if this object is what would be sent: size, checksum and description."""
        if there is None or (there.size_bytes, there.checksum) != (task.size_bytes, task.crc64nvme):
            return None
        try:
            about = self._s3.about_object(task.headers, task.metadata, changed_name(task))
        except BlobFault:
            return None
        return evidence(task, there, 0, self._now()) if described_as(there, about) else None


def evidence(task: Upload, stored: Stored, moved: int, at_utc: str) -> Uploaded:
    """What is known of an object that is right; *moved* bytes crossed the network."""
    return Uploaded(task.id, task.etag, stored.etag, stored.checksum, stored.version_id, moved, at_utc)


def changed_name(task: Upload) -> str:
    """The name that S3 could not take as a key, to be kept as metadata; "" where the key is as it should be."""
    plain = f"{task.container}/{task.blob}"
    return plain if task.s3_key != plain and task.s3_key == object_key(plain) else ""
