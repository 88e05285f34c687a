"""Whether the login manager ends what runs here when its user logs out, and the way out of that.

A process in the scope of a login session (``session-3.scope``) is ended with the session where logind is set to do so
(``KillUserProcesses``); one under the user's own manager (``user@1000.service``) when the user's last session ends,
unless the user lingers. Services, containers and Slurm's jobs stand elsewhere. Sources: logind.conf(5), loginctl(1).
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")
_SESSION = re.compile(r"/session-[^/]+\.scope(/|$)")
_MANAGER = re.compile(r"/user@\d+\.service(/|$)")
_CONFIGURATIONS = ("usr/lib/systemd", "usr/local/lib/systemd", "run/systemd", "etc/systemd")
"""Where logind is configured, later ones before earlier ones."""
_ASK_S = 5.0
ESCAPE = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--")
"""Before a command: it runs under the user's own manager rather than in the session."""


@dataclass(frozen=True)
class Rules:
    """What logind does with the processes of a session that has ended."""

    kill: bool = False
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ("root",)

    def concern(self, user: str) -> bool:
        return self.kill and user not in self.exclude and (not self.only or user in self.only)


def read_rules(root: Path = ROOT) -> Rules:
    """The rules in force; where logind does not answer, those that its files state."""
    told = _ask_logind()
    return _parse(told if told is not None else _read_files(root))


def find_place(pid: int | str = "self", root: Path = ROOT) -> str:
    """``session``, ``manager``, or empty where no login manager ends the process."""
    try:
        groups = (root / "proc" / str(pid) / "cgroup").read_text()
    except OSError:
        return ""
    # The named hierarchy is systemd's under version 1 of control groups, the nameless one under version 2.
    paths = [line.split(":", 2)[2] for line in groups.splitlines() if re.match(r"\d+:(name=systemd)?:", line)]
    if any(_MANAGER.search(path) for path in paths):
        return "manager"
    return "session" if any(_SESSION.search(path) for path in paths) else ""


def lingers(user: str, root: Path = ROOT) -> bool:
    """Whether the user's own manager stays when the user has logged out."""
    return (root / "var/lib/systemd/linger" / user).exists()


def ended_at_logout(pid: int | str = "self", root: Path = ROOT, user: str = "") -> str:
    """Why the process will be ended when its user logs out; empty where it will not."""
    user = user or _user()
    place = find_place(pid, root)
    if place == "manager" and not lingers(user, root):
        return "this machine ends a user's processes with the last session"
    if place == "session" and read_rules(root).concern(user):
        return "this machine ends a session's processes with the session (KillUserProcesses)"
    return ""


def find_escape(root: Path = ROOT, user: str = "") -> tuple[str, ...]:
    """What to put before the command of a process that should outlive this session; empty where nothing is needed,
    or nothing helps: without lingering the user's own manager ends as well."""
    user = user or _user()
    helps = lingers(user, root) and shutil.which(ESCAPE[0]) is not None
    return ESCAPE if helps and find_place("self", root) == "session" and read_rules(root).concern(user) else ()


def warn_of_logout(pid: int | str = "self", root: Path = ROOT, user: str = "") -> str:
    """What to know before logging out, and what to do; empty where everything goes on."""
    why = ended_at_logout(pid, root, user)
    if not why or (pid == "self" and find_escape(root, user)):
        return ""
    return (
        f"the queue stops when you log out: {why}. `loginctl enable-linger`, once, and then starting the scheduler "
        "anew lets it go on (docs/machine.md)"
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a number that has no name
        return str(os.getuid())


def _ask_logind() -> str | None:
    """What the running login manager says of itself, in lines KEY=VALUE; None where there is none."""
    names = ("KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")
    command = ("loginctl", "show-user", "--all", *(f"--property={name}" for name in names))
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_ASK_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 and "KillUserProcesses=" in answer.stdout else None


def _read_files(root: Path) -> str:
    return "\n".join(_read(file) for file in _files(root))


def _files(root: Path) -> Iterator[Path]:
    """The main file, of which the last one counts, then the additions in the order of their names."""
    folders = [root / folder for folder in _CONFIGURATIONS]
    mains = [folder / "logind.conf" for folder in folders if (folder / "logind.conf").exists()]
    yield from mains[-1:]
    additions = {file.name: file for folder in folders for file in sorted((folder / "logind.conf.d").glob("*.conf"))}
    for name in sorted(additions):
        yield additions[name]


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _parse(text: str) -> Rules:
    lines: Sequence[tuple[str, str, str]] = [line.strip().partition("=") for line in text.splitlines()]
    said = {key.strip(): value.strip() for key, equals, value in lines if equals and not key.startswith(("#", ";"))}
    exclude = said.get("KillExcludeUsers")
    return Rules(
        kill=said.get("KillUserProcesses", "").lower() in ("yes", "true", "on", "1", "y", "t"),
        only=tuple(said.get("KillOnlyUsers", "").split()),
        exclude=("root",) if exclude is None else tuple(exclude.split()),
    )
