"""The command `scs`, and `python -m sync_cloud_storage`: what has to be done before anything is imported. Floor 5."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line of this process; gives its exit code."""
    # Python's own way with Ctrl-C is a traceback out of whatever is being imported. Until a verb listens for it,
    # nothing has been begun that would have to be ended.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sync_cloud_storage.cli import main as run  # noqa: PLC0415  (after the line above)

    return run()


if __name__ == "__main__":
    sys.exit(main())
