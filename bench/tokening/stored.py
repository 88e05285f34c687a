"""The pair of a workspace: ``python -m bench.tokening.stored SETTING``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import leave_result
from bench.storing.setting import Setting, token_types
from bench.tokening.questions import ask_all
from odyssey_tui.services.tokens import read_tokens
from store.workspace import Workspace


def main() -> None:
    setting = Setting.read(sys.argv[1])
    workspace = Workspace.open(Path(setting.root) / "workspace")
    leave_result(ask_all(lambda: read_tokens(workspace, "before", "after"), int(token_types()[1][0])))


if __name__ == "__main__":
    main()
