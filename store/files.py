"""Files that are either complete or absent: written to a temporary name, synced to disk, renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
from pathlib import Path
from typing import Any

from store.errors import DataError, WorkspaceError

_DAMAGED = "Restore it from a copy, or move it away."


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``content`` (text as UTF-8) to ``path``, creating its folder; a reader sees the old file or the new one.

    Raises ``WorkspaceError`` when the file system refuses (read-only, full, no permission).
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(temporary_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _discard(temporary)
        raise cannot_write(path, error) from error
    except BaseException:
        _discard(temporary)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value atomically, indented, with a final newline."""
    # Half a surrogate pair, which no UTF-8 can hold, becomes the escape that JSON has for it.
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomic(path, text.encode(errors="backslashreplace"))


def read_json(path: Path) -> Any:
    """The JSON value in ``path``; ``DataError`` names file and line when it is none.

    ``FileNotFoundError`` passes, and so does ``NotADirectoryError`` (a file stands where a folder should).
    """
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}", _DAMAGED) from error
    except json.JSONDecodeError as error:
        what = " ".join(error.msg.split())
        raise DataError(f"{path}:{error.lineno}: not JSON: {what} column {error.colno}", _DAMAGED) from error
    except RecursionError as error:
        raise DataError(f"{path} is not JSON that anybody would write: nested too deeply", _DAMAGED) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def put_in_place(successor: Path, path: Path) -> None:
    """Rename ``successor`` to ``path``, both file and name on the disk when this returns."""
    sync(successor)
    os.replace(successor, path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_name(name: str) -> str:
    """A hidden name beside ``name`` that no other process uses."""
    return f".{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"


def cannot_write(path: Path, error: OSError) -> WorkspaceError:
    """The one message for a write that the file system refused."""
    hint = "Check the folder's permissions and the free space, or choose another workspace (--workspace DIR)."
    if error.errno in (errno.EACCES, errno.EPERM) and (owner := _other_owner(path)):
        hint = (
            f"It belongs to {owner}: check its permissions. A group shares a workspace after `chmod -R g+rwX` and "
            "`chmod g+s` on its folders, with `umask 002` for everybody; else choose another (--workspace DIR)."
        )
    return WorkspaceError(f"cannot write {path}: {error.strerror or error}", hint)


def cannot_read(path: Path, error: OSError, hint: str = "") -> DataError:
    """The one message for a file that is there and cannot be read."""
    advice = hint or ("Check its permissions." if isinstance(error, PermissionError) else _DAMAGED)
    return DataError(f"cannot read {path}: {error.strerror or error}", advice)


def _other_owner(path: Path) -> str:
    """Who owns a path, or the nearest folder that can be looked at; empty for whoever asks."""
    for place in (path, *path.parents):
        try:
            owner = os.stat(place).st_uid
        except OSError:
            continue
        if owner == os.geteuid():
            return ""
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"user {owner}"
    return ""


def _discard(temporary: Path) -> None:
    # The write has failed already and is being reported; its remains are hidden and harmless.
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
