"""What the catalog says in sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sync_cloud_storage.model.tasks import Look


class Totals(NamedTuple):
    """The catalog in sums. Every listed blob is in exactly one of skipped, failed, pending, downloaded, uploaded.

    `downloaded` counts rows on the NAS that still wait for S3; `uploaded` those that are done; `gone` (a subset of the
    others) those that the source no longer has; `mismatched` (likewise) those whose file or object a check found wrong
    and that were not mended since. Sizes in bytes.
    """

    containers: int
    containers_pending: int
    containers_failed: int
    blobs: int
    bytes: int
    skipped: int
    failed: int
    pending: int
    pending_bytes: int
    downloaded: int
    downloaded_bytes: int
    uploaded: int
    uploaded_bytes: int
    gone: int
    mismatched: int = 0


class Problem(NamedTuple):
    """One thing that did not go well, for people: a row of the view `problems`."""

    container: str
    blob: str  # "" for a container's own trouble
    leg: str  # list, azure, s3
    code: str
    sentence: str


class PageOutcome(NamedTuple):
    """What a page of blobs changed in the catalog. `suspects`: rows that the page should have held and did not.

    `news` names the first few of those that were added or changed, for a check, to which they are differences.
    """

    added: int
    changed: int
    unchanged: int
    suspects: tuple[Look, ...]
    news: tuple[Problem, ...] = ()
