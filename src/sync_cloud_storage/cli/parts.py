"""What the command line works with: the migration, and the streams and the clock of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import TextIO

    from sync_cloud_storage.cli.stop import Stop
    from sync_cloud_storage.ledger import Ledger
    from sync_cloud_storage.progress import InitReport, Outcome, Progress, StatusReport
    from sync_cloud_storage.settings import Settings


class MigrationFace(Protocol):
    """What the command line needs of `migration.Migration`: one method a verb."""

    def init(self) -> InitReport: ...  # noqa: D102
    def sync(self, what: str, *, everything: bool, containers: tuple[str, ...]) -> Outcome: ...  # noqa: D102
    def reset_live(self) -> int: ...  # noqa: D102
    def download(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome: ...  # noqa: D102
    def upload(self, *, retry_failed: bool, containers: tuple[str, ...]) -> Outcome: ...  # noqa: D102
    def run(self, *, retry_failed: bool, watch_s: float | None, containers: tuple[str, ...]) -> Outcome: ...  # noqa: D102
    def xcheck(  # noqa: D102
        self, *, deep: bool, containers: tuple[str, ...], nas: bool, inventory: Path | None, checksums: tuple[Path, ...]
    ) -> Outcome: ...
    def batch_manifest(self, file: Path) -> int: ...  # noqa: D102
    def scrub(self, *, part: int, parts: int, containers: tuple[str, ...]) -> Outcome: ...  # noqa: D102
    def rebuild(self) -> Outcome: ...  # noqa: D102
    def status(self) -> StatusReport: ...  # noqa: D102
    def report(self) -> AbstractContextManager[Ledger]: ...  # noqa: D102
    def clean(self) -> Path: ...  # noqa: D102


class Parts(NamedTuple):
    """What a verb works with; tests bring their own. A stream is None where it was closed before the start."""

    migration: Callable[[Settings, Callable[[Progress], None], Stop], MigrationFace]
    environ: MutableMapping[str, str]
    clock: Callable[[], float]  # monotonic, seconds
    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
