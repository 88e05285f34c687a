"""Verdicts on the terminal and on the user's settings of it."""

from __future__ import annotations

import locale
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

from odyssey_tui.services.clipboard import LOADS_TO_CLIPBOARD, tmux_version
from odyssey_tui.services.doctor import Verdict
from odyssey_tui.services.terminal import TRUE_COLOR, color_depth

COLUMNS, LINES = 80, 24
LEAST_COLUMNS, LEAST_LINES = 20, 5
"""What every screen is laid out for, and what the application survives."""
ANSWER_S = 0.5
"""Every terminal answers a request for its attributes; one behind a slow link takes a round trip."""
SLOW_ESCAPE_MS = 100
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]+)c")
_CLIPBOARD = "52"
"""In the answer to DA1: the terminal's clipboard may be written (xterm's control sequences, `CSI Ps c`)."""
TRY_COPYING = "Try: printf '\\033]52;c;%s\\a' $(printf odyssey | base64), and paste."


def examine_terminal(environment: Mapping[str, str] = os.environ) -> Iterator[Verdict]:
    """Size, kind, multiplexer, characters, colours, clipboard."""
    attended = sys.stdin.isatty() and sys.stdout.isatty()
    if attended:
        yield judge_size(*os.get_terminal_size(sys.stdout.fileno()))
    else:
        yield Verdict("terminal", "size", "info", "this is no terminal: the screens need one, the commands do not")
    yield _judge_kind(environment)
    yield from _judge_tmux(environment)
    yield judge_encoding(sys.stdout.encoding or "", environment)
    yield _judge_colors(environment)
    yield judge_clipboard(environment, ask_attributes() if attended and not _inside(environment) else None)


def judge_size(columns: int, lines: int) -> Verdict:
    """Whether the screens fit."""
    size = f"{columns} columns, {lines} lines"
    if columns < LEAST_COLUMNS or lines < LEAST_LINES:
        fix = f"Enlarge it: the screens need {LEAST_COLUMNS}×{LEAST_LINES}, and are laid out for {COLUMNS}×{LINES}."
        return Verdict("terminal", "size", "problem", size, fix)
    if columns < COLUMNS or lines < LINES:
        return Verdict(
            "terminal", "size", "warning", size, f"Columns are left out below {COLUMNS}×{LINES}: enlarge it."
        )
    return Verdict("terminal", "size", "ok", size)


def _judge_kind(environment: Mapping[str, str]) -> Verdict:
    term = environment.get("TERM", "")
    program = environment.get("TERM_PROGRAM", "")
    told = " ".join(word for word in (term, f"({program})" if program else "") if word)
    if environment.get("SSH_CONNECTION"):
        told += f", over SSH from {environment['SSH_CONNECTION'].split()[0]}"
    if term in ("", "dumb"):
        fix = "export TERM=xterm-256color; in a terminal that has no screen use the commands."
        return Verdict("terminal", "kind", "warning", f"TERM is {term or 'not set'}", fix)
    return Verdict("terminal", "kind", "ok", told)


def _inside(environment: Mapping[str, str]) -> str:
    """The multiplexer around this terminal."""
    if environment.get("TMUX"):
        return "tmux"
    return "screen" if environment.get("STY") else ""


def _judge_tmux(environment: Mapping[str, str]) -> Iterator[Verdict]:
    """How tmux treats Escape; GNU screen, which hands on no clipboard, is named."""
    inside = _inside(environment)
    if inside == "screen":
        fix = "Copying needs tmux, or a terminal of its own."
        yield Verdict("terminal", "multiplexer", "warning", "GNU screen: true colours and the clipboard end here", fix)
    if inside != "tmux":
        return
    late = ask_tmux("escape-time")
    if late.isdigit() and int(late) > SLOW_ESCAPE_MS:
        what, fix = f"tmux waits {late} ms after Escape", "In ~/.tmux.conf: set -sg escape-time 10"
        yield Verdict("terminal", "multiplexer", "warning", what, fix)
    else:
        yield Verdict("terminal", "multiplexer", "ok", f"tmux, {late} ms after Escape" if late else "tmux")


def ask_tmux(option: str) -> str:
    """The value of a server option of the tmux around this; empty where it does not say."""
    command = (shutil.which("tmux") or "tmux", "show-options", "-sv", option)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def judge_encoding(encoding: str, environment: Mapping[str, str]) -> Verdict:
    """Whether Δ, ρ and the lines of charts can be printed."""
    if encoding.lower().replace("-", "") == "utf8":
        return Verdict("terminal", "characters", "ok", "UTF-8")
    named = next(
        (f"{name}={environment[name]}" for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), ""
    )
    what = f"the output is {encoding or 'of no encoding'}, not UTF-8 ({named or locale.setlocale(locale.LC_CTYPE)})"
    return Verdict("terminal", "characters", "problem", what, "export LC_ALL=C.UTF-8")


def _judge_colors(environment: Mapping[str, str]) -> Verdict:
    if environment.get("NO_COLOR"):
        return Verdict("terminal", "colours", "info", "none, by NO_COLOR", "unset NO_COLOR to have them")
    depth = color_depth(environment)
    if depth == TRUE_COLOR:
        return Verdict("terminal", "colours", "ok", "16 million (COLORTERM)")
    if depth == 0:
        return Verdict("terminal", "colours", "info", "none: TERM names no terminal that has them")
    fix = "Where the terminal has more: export COLORTERM=truecolor (SSH does not hand it on)."
    return Verdict("terminal", "colours", "info", f"{depth}: COLORTERM does not say more", fix)


def judge_clipboard(environment: Mapping[str, str], attributes: str | None) -> Verdict:
    """Whether ``c`` reaches the clipboard of the machine one sits at; ``attributes`` is its answer to DA1."""
    inside = _inside(environment)
    if inside == "tmux":
        version = tmux_version()
        if ask_tmux("set-clipboard") != "on" and (version is None or version < LOADS_TO_CLIPBOARD):
            what = "tmux keeps what programs inside it copy"
            return Verdict("terminal", "copying", "warning", what, "In ~/.tmux.conf: set -s set-clipboard on")
        return Verdict("terminal", "copying", "ok", "by tmux, and OSC 52 if the terminal around it agrees")
    if inside == "screen":
        return Verdict("terminal", "copying", "warning", "GNU screen keeps OSC 52 to itself", "Use tmux.")
    if environment.get("TERM", "").startswith("tmux"):
        what = "by OSC 52, through the tmux on the machine that you come from"
        return Verdict("terminal", "copying", "info", what, "There, in ~/.tmux.conf: set -s set-clipboard on")
    if attributes is not None and _CLIPBOARD in attributes.split(";"):
        return Verdict("terminal", "copying", "ok", "by OSC 52: the terminal says that it agrees")
    return Verdict("terminal", "copying", "info", "by OSC 52: the terminal does not say whether it agrees", TRY_COPYING)


def ask_attributes(wait_s: float = ANSWER_S) -> str | None:
    """The terminal's device attributes (DA1), as ``62;22;52``; None where it does not answer in time."""
    import termios
    import tty

    source = sys.stdin.fileno()
    try:
        before = termios.tcgetattr(source)
    except termios.error:
        return None
    try:
        tty.setcbreak(source)
        os.write(sys.stdout.fileno(), b"\x1b[c")
        answer, deadline = b"", time.monotonic() + wait_s
        while (left := deadline - time.monotonic()) > 0 and select.select([source], [], [], left)[0]:
            answer += os.read(source, 256)
            if match := _ATTRIBUTES.search(answer):
                return match[1].decode()
        return None
    finally:
        # An answer that is late must not be typed into the shell.
        termios.tcsetattr(source, termios.TCSAFLUSH, before)


def examine_settings() -> Iterator[Verdict]:
    """The user's settings file; a mistake in it keeps the application from starting."""
    from odyssey_tui.settings import load_settings, settings_path
    from store.errors import ConfigError

    path = settings_path()
    try:
        settings = load_settings(path)
    except ConfigError as error:
        yield Verdict("settings", "file", "problem", error.message, error.hint or f"Correct {path}.")
        return
    if path.exists():
        keys = f", {len(settings.keys)} keys of your own" if settings.keys else ""
        yield Verdict("settings", "file", "ok", f"{path}: {settings.theme}{keys}")
    else:
        yield Verdict("settings", "file", "ok", f"defaults: there is no {path}")
