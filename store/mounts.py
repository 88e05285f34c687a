"""What kind of file system holds a path: a database on one that several machines share cannot be trusted to locks."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
SHARED = re.compile(
    r"nfs\d?|cifs|smb\d?|smbfs|lustre|gpfs|beegfs|ceph|glusterfs|pvfs2|orangefs|afs|9p|fuse(\..+)?|panfs|wekafs"
)
"""Types of file systems, as mountinfo(5) names them. FUSE stands for sshfs and its like."""
_ESCAPED = re.compile(r"\\([0-7]{3})")


def file_system_of(path: Path, mountinfo: str | None = None) -> str:
    """The type of the file system that holds ``path``; empty where it cannot be told."""
    if mountinfo is None:
        try:
            mountinfo = MOUNTS.read_text()
        except OSError:
            return ""
    resolved = path.resolve()
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        place = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of mounts over one another the last one is seen.
        if resolved.is_relative_to(place) and len(place.parts) >= best:
            best, kind = len(place.parts), after.split()[0]
    return kind


def is_shared(kind: str) -> bool:
    """Whether several machines may have a file system of this type mounted."""
    return SHARED.fullmatch(kind) is not None
