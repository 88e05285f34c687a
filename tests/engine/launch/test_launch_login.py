"""What becomes of the queue when its user logs out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from engine.launch import login
from engine.launch import scheduler as module
from engine.launch.login import ESCAPE, ended_at_logout, find_escape, find_place, read_rules, warn_of_logout
from engine.launch.scheduler import ensure_running

SESSION = "0::/user.slice/user-1000.slice/session-3.scope"
MANAGER = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope"


class Machine:
    """Files of a machine under a folder of its own, and programs on PATH that stand in for systemd's."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.programs = root / "bin"
        self.programs.mkdir(parents=True)
        monkeypatch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        self.program("loginctl", "echo Failed to connect to bus >&2; exit 1")

    def write(self, name: str, text: str = "") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def program(self, name: str, script: str) -> None:
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def place(self, *groups: str, pid: str = "self") -> None:
        self.write(f"proc/{pid}/cgroup", "\n".join(groups))

    def kill(self, setting: str = "yes") -> None:
        self.write("etc/systemd/logind.conf", f"[Login]\n#KillUserProcesses=no\nKillUserProcesses={setting}")

    def linger(self) -> None:
        self.write("var/lib/systemd/linger/ann")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    return Machine(tmp_path / "machine", monkeypatch)


@pytest.mark.parametrize(
    ("groups", "place"),
    [
        ([SESSION], "session"),
        (["9:name=systemd:/user.slice/user-1000.slice/session-c1.scope", "8:pids:/", "0::/"], "session"),
        ([MANAGER], "manager"),
        (["0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0"], ""),
        (["9:name=systemd:/system.slice/slurmd.service", "4:memory:/slurm/uid_1000/job_7"], ""),
        (["0::/docker/4f2a"], ""),
        (["0::/system.slice/cron.service"], ""),
        (["0::/"], ""),
        (["4:memory:/user.slice/session-3.scope"], ""),
        ([], ""),
    ],
)
def test_where_a_process_stands(machine, groups, place):
    machine.place(*groups)
    assert find_place("self", machine.root) == place
    assert find_place(77, machine.root) == ""


def test_rules_are_what_logind_says_of_itself(machine):
    machine.kill("no")
    machine.program(
        "loginctl", 'echo "$@" >&2; printf "KillUserProcesses=yes\\nKillOnlyUsers=\\nKillExcludeUsers=bob\\n"'
    )
    rules = read_rules(machine.root)
    assert (rules.kill, rules.concern("root"), rules.concern("bob")) == (True, True, False)


@pytest.mark.parametrize(
    ("files", "concerned"),
    [
        ({}, False),
        ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=yes"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes"}, True),
        ({"usr/lib/systemd/logind.conf": "KillUserProcesses=yes"}, True),
        ({"usr/lib/systemd/logind.conf": "KillUserProcesses=yes", "etc/systemd/logind.conf": "[Login]"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes\nKillExcludeUsers=bob ann"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes\nKillOnlyUsers=bob"}, False),
        ({"etc/systemd/logind.conf": "KillUserProcesses=yes\nKillOnlyUsers=bob ann"}, True),
        ({"usr/lib/systemd/logind.conf.d/50.conf": "KillUserProcesses = on"}, True),
        (
            {
                "run/systemd/logind.conf.d/60.conf": "KillUserProcesses=yes",
                "etc/systemd/logind.conf.d/50.conf": "KillUserProcesses=no",
            },
            True,
        ),
        (
            {
                "run/systemd/logind.conf.d/50.conf": "KillUserProcesses=yes",
                "etc/systemd/logind.conf.d/50.conf": "KillUserProcesses=no",
            },
            False,
        ),
    ],
)
def test_rules_of_files_where_logind_does_not_answer(machine, files, concerned):
    for name, text in files.items():
        machine.write(name, text)
    assert read_rules(machine.root).concern("ann") == concerned


def test_a_session_ends_what_it_started_where_told_to(machine):
    machine.place(SESSION)
    assert ended_at_logout("self", machine.root, "ann") == ""
    machine.kill()
    assert "session" in ended_at_logout("self", machine.root, "ann")
    warning = warn_of_logout("self", machine.root, "ann")
    assert "the queue stops when you log out" in warning
    assert "loginctl enable-linger" in warning
    assert warn_of_logout("self", machine.root, "root") == ""
    # Lingering alone saves nothing that stays in the session's scope.
    machine.linger()
    assert ended_at_logout("self", machine.root, "ann")


def test_what_lingers_stays(machine):
    machine.place(MANAGER)
    assert "last session" in ended_at_logout("self", machine.root, "ann")
    machine.linger()
    assert ended_at_logout("self", machine.root, "ann") == ""


def test_the_way_out_is_taken_where_it_leads_somewhere(machine):
    machine.place(SESSION)
    machine.kill()
    machine.program("systemd-run", "exit 1")
    assert find_escape(machine.root, "ann") == ()
    machine.linger()
    assert find_escape(machine.root, "ann") == ESCAPE
    assert warn_of_logout("self", machine.root, "ann") == ""
    machine.place(SESSION, pid="77")
    assert warn_of_logout(77, machine.root, "ann")  # that one did not take it
    machine.place(MANAGER)
    assert find_escape(machine.root, "ann") == ()
    machine.place(SESSION)
    machine.kill("no")
    assert find_escape(machine.root, "ann") == ()


@pytest.mark.parametrize("works", [True, False])
def test_a_scheduler_is_started_outside_the_session_if_that_works(bench, machine, monkeypatch, works):
    script = Path(__file__).with_name("scripted_detached.py")
    monkeypatch.setattr(module, "COMMAND", (sys.executable, str(script)))
    monkeypatch.setattr(module, "find_escape", lambda: ESCAPE)
    asked = machine.root / "asked"
    machine.program("systemd-run", f'echo "$@" >> {asked}; shift 5; {"exec" if works else "exit 1; :"} "$@"')
    assert login.ESCAPE[0] == "systemd-run"
    run_id = bench.queue("only", "finish")
    assert ensure_running(bench.workspace)
    bench.until(lambda: bench.state(run_id) == "done")
    assert asked.read_text().startswith(f"--user --scope --quiet --collect -- {sys.executable}")
