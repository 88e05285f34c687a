"""A workspace: the folder in which runs, their results and the queue live."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import DataError, WorkspaceError
from store.files import cannot_write, read_json, temporary_name, write_json
from store.settings import Settings, read_settings

if TYPE_CHECKING:
    from store.run_dir import RunDir

WORKSPACE_FORMAT = 1
_MARKER = "workspace.json"
_RESTORE = (
    f'Restore it, or write {{"format": {WORKSPACE_FORMAT}}} into it if the folder is a workspace; '
    "or choose another with --workspace DIR."
)


_SETTLED_NS = 3_000_000_000
"""File systems date a folder's changes to 2 s at the coarsest."""


@dataclass(frozen=True)
class Workspace:
    """Paths of one workspace. Make it with ``create``, ``open`` or ``open_or_create``, which check the folder."""

    root: Path
    settings: Settings = field(default_factory=Settings, compare=False)

    @classmethod
    def create(cls, path: str | Path) -> Workspace:
        """Make a workspace of a new or empty folder; one that is a workspace already is opened."""
        root = Path(path).expanduser().absolute()
        marker = root / _MARKER
        # A link that leads nowhere is a marker too, which opening says.
        if not os.path.lexists(marker):
            try:
                root.mkdir(parents=True, exist_ok=True)
                strangers = [name for name in os.listdir(root) if not name.startswith(f".{_MARKER}.")]
                # Another process may have made the workspace since: its marker is then among the names.
                if strangers and not os.path.exists(marker):
                    raise WorkspaceError(
                        f"{root} is not an odyssey workspace, and it is not empty (it holds {sorted(strangers)[0]!r})",
                        "Choose a new or empty folder with --workspace DIR.",
                    )
                write_json(marker, {"format": WORKSPACE_FORMAT, "id": os.urandom(8).hex(), "created": time.time()})
            except (FileExistsError, NotADirectoryError) as error:
                file = next(path for path in (root, *root.parents) if os.path.exists(path))
                raise WorkspaceError(
                    f"{root} cannot be a workspace: {file} is a file",
                    "Choose a folder with --workspace DIR.",
                ) from error
            except OSError as error:
                raise cannot_write(root, error) from error
        return cls.open(root)

    @classmethod
    def open(cls, path: str | Path) -> Workspace:
        """The workspace in ``path``; ``WorkspaceError`` when there is none or a newer odyssey made it."""
        root = Path(path).expanduser().absolute()
        try:
            content = read_json(root / _MARKER)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise WorkspaceError(
                f"{root} is not an odyssey workspace: it has no {_MARKER}",
                "Choose another with --workspace DIR, or start one there with `odyssey demo` or `odyssey launch`.",
            ) from error
        except OSError as error:
            raise WorkspaceError(f"cannot read {root}: {error.strerror or error}", "Check its permissions.") from error
        except DataError as error:
            raise WorkspaceError(error.message, _RESTORE) from error
        version = content.get("format") if isinstance(content, dict) else None
        if not isinstance(version, int):
            raise WorkspaceError(f"{root / _MARKER} does not describe a workspace", _RESTORE)
        if version > WORKSPACE_FORMAT:
            raise WorkspaceError(
                f"{root} was made by a newer odyssey (format {version}; this one reads {WORKSPACE_FORMAT})",
                "Install the newer version: pip install --upgrade odyssey-tui.",
            )
        workspace = cls(root, read_settings(root))
        # `runs` is made last, so its presence says that an earlier start was not interrupted half-way.
        if not os.path.isdir(workspace.runs):
            workspace._make_folders()
        return workspace

    @classmethod
    def open_or_create(cls, path: str | Path) -> Workspace:
        """Open the workspace in ``path``, making one if the folder is new or empty."""
        return cls.create(path)

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def queue(self) -> Path:
        return self.root / "queue"

    @property
    def tickets(self) -> Path:
        """One file ``RUN_ID.json`` per run that is not finished."""
        return self.queue / "tickets"

    @property
    def scheduler(self) -> Path:
        return self.root / "scheduler"

    @property
    def workers(self) -> Path:
        return self.root / "workers"

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def notes(self) -> Path:
        return self.root / "notes.jsonl"

    @property
    def database_path(self) -> Path:
        return self.settings.database or self.default_database

    @property
    def default_database(self) -> Path:
        """Where the database is unless the settings say otherwise."""
        return self.root / "odyssey.duckdb"

    @property
    def reopened(self) -> Path:
        """Empty files named by run: runs that got a further attempt after ingest may have closed them."""
        return self.queue / "reopened"

    def run(self, run_id: str) -> RunDir:
        """The directory of a run, whether it exists or not."""
        from store.run_dir import RunDir

        return RunDir(self.runs / run_id)

    def run_ids(self) -> list[str]:
        """Identifiers of all runs, sorted: the folders that hold a specification, but for known copies of others."""
        from store.strays import known_copies

        copies = known_copies(self)
        return [name for name in self.run_folders() if name not in copies]

    def run_folders(self) -> list[str]:
        """Names of the folders of runs that hold a specification, sorted; copies of other runs among them."""
        from store.run_dir import SPEC_FILE

        runs = os.fspath(self.runs)
        return [name for name in sorted(self.run_names()) if os.path.exists(f"{runs}/{name}/{SPEC_FILE}")]

    def run_names(self) -> frozenset[str]:
        """Names of what lies among the runs, whether they are runs or not; listed again when something came or went."""
        try:
            changed_ns = os.stat(self.runs).st_mtime_ns
            # What comes within a tick of the file system's clock leaves no other date: such a listing is not kept.
            kept = abs(time.time_ns() - changed_ns) > _SETTLED_NS
            return _list_names(self.runs, changed_ns) if kept else _list_names.__wrapped__(self.runs, changed_ns)
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise WorkspaceError(
                f"cannot read {self.runs}: {error.strerror or error}", "Check its permissions."
            ) from error

    def require_writable(self) -> None:
        """Raise ``WorkspaceError`` unless files can be made here."""
        probe = self.root / temporary_name("probe")
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise cannot_write(self.root, error) from error

    def _make_folders(self) -> None:
        folders = (
            self.tickets,
            self.queue / "requests",
            self.reopened,
            self.scheduler,
            self.workers,
            self.cache,
            self.experiments,
            self.runs,
        )
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error


@lru_cache(maxsize=2)
def _list_names(folder: Path, changed_ns: int) -> frozenset[str]:
    """Names in a folder that was changed last at ``changed_ns``, without hidden ones."""
    return frozenset(name for name in os.listdir(folder) if not name.startswith("."))
