"""What every sub-command receives with ``@click.pass_obj``: the workspace it works on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.workspace import Workspace

DEFAULT_WORKSPACE = "odyssey-workspace"
WORKSPACE_VARIABLE = "ODYSSEY_WORKSPACE"


def usual_workspace() -> Path:
    """Where commands look without ``--workspace``."""
    return Path(os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE).expanduser().absolute()


@dataclass
class Invocation:
    """One call of the command; ``--workspace`` may stand before or after the sub-command, the later one wins."""

    workspace_path: Path

    def open(self) -> Workspace:
        """The existing workspace. Raises WorkspaceError when there is none, or it cannot be used."""
        from store.workspace import Workspace

        return Workspace.open(self.workspace_path)

    def planned(self) -> Workspace | None:
        """The workspace yet to be made, when there is nothing at its place; nothing is written."""
        from store.workspace import Workspace

        root = self.workspace_path.expanduser().absolute()
        try:
            root.lstat()
        except FileNotFoundError:
            return Workspace(root)
        except OSError:
            pass  # what cannot be looked at is no new place; opening it says why
        return None

    def open_or_create(self) -> Workspace:
        """The workspace, made when the folder does not exist or is empty."""
        from store.workspace import Workspace

        return Workspace.open_or_create(self.workspace_path)
