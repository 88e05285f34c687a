"""Entry of the ``odyssey`` command; imports nothing heavy, so that Ctrl-C during start-up is quiet too."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        from odyssey_tui.cli.main import run
    except KeyboardInterrupt:
        sys.exit(130)  # Exit.INTERRUPTED, without another import to interrupt
    sys.exit(run())


if __name__ == "__main__":
    main()
