"""The command `scs`, and `python -m sync_cloud_storage`: what has to be done before anything is imported. Floor 5."""

from __future__ import annotations

import gc
import signal
import sys

# New objects until Python looks for cycles. Rows and stories are made so that they leave none, and to look after each
# 700, as Python does by itself, takes 4 % of a run. Workers that are forks of this process inherit it.
GARBAGE_FROM = 50_000


def main() -> int:
    """Run the command line of this process; gives its exit code."""
    gc.set_threshold(GARBAGE_FROM)
    # Python's own way with Ctrl-C is a traceback out of whatever is being imported. Until a verb listens for it,
    # nothing has been begun that would have to be ended.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sync_cloud_storage.cli import main as run  # noqa: PLC0415  (after the line above)

    code = run()
    gc.freeze()  # what is left goes with the process: to look through it for cycles first would take 40 ms
    return code


if __name__ == "__main__":
    sys.exit(main())
