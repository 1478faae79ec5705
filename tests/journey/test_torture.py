"""The short form of scripts/torture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.journey.torture import torture

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 8


def test_kill_9_during_scs_run(tmp_path: Path) -> None:
    """Wherever a run is killed, no row says more than is so, and the next run finishes it and leaves nothing behind."""
    score = torture(KILLS, seed=2019, folder=tmp_path)
    assert score.kills == KILLS
    assert score.journeys >= 1
    assert len(set(score.kills_after) - {""}) >= 3, f"the kills came at one place only, which proves little: {score}"
