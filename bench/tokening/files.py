"""The pair in two Parquet files: ``python -m bench.tokening.files SETTING``."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.harness import leave_result
from bench.storing.setting import Setting, token_types
from bench.tokening.questions import ask_all
from odyssey_tui.services.token_files import open_files


def main() -> None:
    setting = Setting.read(sys.argv[1])
    before, after = (str(Path(setting.root) / f"{name}.parquet") for name in setting.texts[0].evaluations)
    leave_result(ask_all(lambda: open_files(before, after), int(token_types()[1][0])))


if __name__ == "__main__":
    main()
