"""A backup in one file: a compressed tar of the database and everything small beside it, verified when it is made.

``NAME.tar.zst`` holds ``manifest.json`` (first), ``odyssey.duckdb``, ``workspace.json``, ``settings.toml``,
``notes.jsonl``, ``experiments/`` and of every run all but its checkpoints, which ``full`` adds.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from store import schema
from store.database import hold_alone, lease, open_file
from store.errors import DataError, WorkspaceError
from store.files import cannot_write, put_in_place, read_json, temporary_name
from store.ingest import ingest
from store.upkeep.tables import count_rows
from store.workspace import Workspace

ARCHIVE_FORMAT = 1
SUFFIX = ".tar.zst"
DATABASE = "odyssey.duckdb"
_MANIFEST = "manifest.json"
_BESIDE = ("workspace.json", "settings.toml", "notes.jsonl", "experiments")
_NOT_A_BACKUP = "Give a file that `odyssey store backup` made."


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    format: int
    workspace: str
    """The ``id`` of the workspace."""
    created: float
    """Unix seconds."""
    schema: int
    sha256: str
    """Of the database file."""
    rows: dict[str, int]
    """Of the database, by table."""
    runs: int
    full: bool
    """Whether checkpoints are in it."""


def default_name(workspace: Workspace) -> Path:
    """``WORKSPACE-DATE.tar.zst`` beside the workspace: what destroys the folder should spare its backup."""
    return workspace.root.with_name(f"{workspace.root.name}-{time.strftime('%Y%m%d-%H%M%S')}{SUFFIX}")


def write_backup(workspace: Workspace, target: Path, *, full: bool = False, wait_s: float = 60.0) -> Manifest:
    """Write a backup to ``target``, read it back and open its database; a file that stood there is replaced.

    Everything is taken under the write lease: journals are at least as long as the database has read them, and no shard
    is deleted between the two.
    """
    ingest(workspace)
    with lease(workspace, wait_s=wait_s):
        pass  # makes or upgrades it
    staged = target.with_name(temporary_name(target.name))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with hold_alone(workspace, wait_s):
            with open_file(workspace.database_path, write=True) as con:
                con.execute("CHECKPOINT")
            manifest = _describe(workspace, full)
            with _packing(staged) as tar:
                _add_text(tar, _MANIFEST, json.dumps(asdict(manifest), indent=2))
                tar.add(workspace.database_path, DATABASE)
                for name in _BESIDE:
                    if (workspace.root / name).exists():
                        tar.add(workspace.root / name, name, filter=_small)
                _add_runs(tar, workspace, full)
        _verify(staged, manifest)
        put_in_place(staged, target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What a backup says of itself. ``DataError`` for a file that is none, is damaged, or of a newer odyssey."""
    with reading(path, to_the_end=False) as tar:
        first = tar.next()
        content = tar.extractfile(first) if first is not None and first.name == _MANIFEST else None
        value = json.loads(content.read()) if content is not None else None
    if not isinstance(value, dict) or "format" not in value:
        raise DataError(f"{path} is not a backup of odyssey", _NOT_A_BACKUP)
    if value["format"] > ARCHIVE_FORMAT or value["schema"] > schema.newest_version():
        raise WorkspaceError(
            f"{path} was made by a newer odyssey (schema {value['schema']}; this one knows {schema.newest_version()})",
            "Install the newer version: pip install --upgrade odyssey-tui.",
        )
    return Manifest(**value)


def unpack(path: Path, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Write the members of a backup whose names are ``wanted`` into ``folder``; ``DataError`` when it is damaged."""
    with reading(path) as tar:
        for member in tar:
            if wanted(member.name):
                tar.extract(member, folder, filter="data")


def check_database(path: Path, manifest: Manifest) -> None:
    """``DataError`` unless the database file is the one that the manifest describes."""
    if _sha256(path) != manifest.sha256:
        raise DataError(f"{path}: the database in the backup is damaged (its checksum differs)", "Use another backup.")
    with open_file(path) as con:
        if count_rows(con) != manifest.rows:
            raise DataError(f"{path}: the database in the backup has other rows than it had", "Use another backup.")


@contextmanager
def reading(path: Path, to_the_end: bool = True) -> Iterator[tarfile.TarFile]:
    """A backup opened as a stream; whatever is wrong with it is one ``DataError``."""
    import pyarrow as pa

    try:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                yield tar
            while to_the_end and stream.read(1 << 20):  # a file that was cut short shows only there
                pass
    except FileNotFoundError as error:
        raise DataError(f"there is no {path}", _NOT_A_BACKUP) from error
    except (tarfile.TarError, pa.ArrowException, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged or no backup of odyssey: {str(error).splitlines()[0]}", _NOT_A_BACKUP
        ) from error
    except OSError as error:
        if error.errno is None:  # pyarrow's word for data that is not zstd
            raise DataError(f"{path} is damaged or no backup of odyssey: {error}", _NOT_A_BACKUP) from error
        raise


def _describe(workspace: Workspace, full: bool) -> Manifest:
    with open_file(workspace.database_path) as con:
        rows, version = count_rows(con), schema.read_version(con)
    marker = read_json(workspace.root / "workspace.json")
    return Manifest(
        format=ARCHIVE_FORMAT,
        workspace=str(marker.get("id", "")),
        created=time.time(),
        schema=version,
        sha256=_sha256(workspace.database_path),
        rows=rows,
        runs=len(workspace.run_ids()),
        full=full,
    )


def _verify(path: Path, manifest: Manifest) -> None:
    scratch = path.with_name(temporary_name(DATABASE))
    try:
        unpack(path, scratch, lambda name: name == DATABASE)
        check_database(scratch / DATABASE, manifest)
    finally:
        (scratch / DATABASE).unlink(missing_ok=True)
        if scratch.is_dir():
            scratch.rmdir()


@contextmanager
def _packing(path: Path) -> Iterator[tarfile.TarFile]:
    import pyarrow as pa

    with (
        pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar


def _add_runs(tar: tarfile.TarFile, workspace: Workspace, full: bool) -> None:
    for run_id in workspace.run_ids():
        run = workspace.run(run_id)
        for folder, folders, files in os.walk(run.path):
            inside = Path(folder).relative_to(run.path)
            if inside == Path("."):
                folders[:] = [name for name in folders if full or name != "checkpoints"]
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "resume")
            for name in sorted(files):
                if name == ".reserve" or name.endswith(".tmp"):
                    continue
                # Deleted or grown meanwhile: a journal's line may come at any time, and is read up to its last newline.
                with contextlib.suppress(FileNotFoundError):
                    _add_as_is(tar, Path(folder) / name, str(PurePosixPath("runs") / run_id / inside / name))


def _add_as_is(tar: tarfile.TarFile, path: Path, name: str) -> None:
    with open(path, "rb") as file:
        member = tar.gettarinfo(arcname=name, fileobj=file)
        tar.addfile(member, file)


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(data), int(time.time())
    tar.addfile(member, io.BytesIO(data))


def _small(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name.endswith(".tmp") else member


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
