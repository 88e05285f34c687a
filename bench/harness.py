"""The common ground of all benchmarks: contenders in fresh processes, alternated, as medians and ratios in one run.

A contender is a command, started as its user would start it, that leaves its measurements in the JSON file named by
``BENCH_RESULT``. What its process took from outside (wall and CPU seconds, peak resident memory) is measured here.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULT_VARIABLE = "BENCH_RESULT"
VERSIONS_OF = ("torch", "transformers", "peft", "datasets", "accelerate", "numpy", "odyssey-tui")
MIB = 1 << 20


@dataclass(frozen=True)
class Finished:
    """A contender's process, once ended: what was measured around it, and the folder it ran in."""

    folder: Path
    wall_s: float
    cpu_s: float
    peak_bytes: int
    """Largest resident set of the process itself (not of its children)."""


Read = Callable[[Finished], dict[str, Any]]


def read_result(finished: Finished) -> dict[str, Any]:
    """The measurements that the process wrote to ``BENCH_RESULT``."""
    return json.loads((finished.folder / "result.json").read_text())


@dataclass(frozen=True)
class Contender:
    """One side of a comparison. ``{folder}`` in the command stands for the empty folder that each start gets.

    ``missing`` says why it cannot be measured here (see ``need``); its rows then read "not measured".
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    read: Read = read_result
    missing: str = ""


@dataclass(frozen=True)
class Measured:
    """All repetitions of one contender: each a dictionary of measurements (numbers, or whatever the bench needs)."""

    name: str
    repetitions: tuple[dict[str, Any], ...] = ()
    missing: str = ""

    def median(self, metric: str) -> float | None:
        values = self.values(metric)
        return statistics.median(values) if values else None

    def values(self, metric: str) -> list[float]:
        return [float(one[metric]) for one in self.repetitions if one.get(metric) is not None]


@dataclass(frozen=True)
class Metric:
    """A number that contenders are compared by; ``digits`` significant ones are printed."""

    key: str
    title: str
    unit: str = ""
    more_is_better: bool = True
    digits: int = 3


@dataclass(frozen=True)
class Comparison:
    """A table: contenders, the metrics compared, and the peer whom the others are set against (empty: none)."""

    title: str
    measured: tuple[Measured, ...]
    metrics: tuple[Metric, ...]
    peer: str
    goal: str = ""
    notes: tuple[str, ...] = ()

    def ratio(self, name: str, metric: Metric) -> float | None:
        """How many times better than the peer (above 1 is better), of medians; None where either is missing."""
        by_name = {one.name: one.median(metric.key) for one in self.measured}
        mine, peer = by_name.get(name), by_name.get(self.peer)
        if not mine or not peer:
            return None
        return mine / peer if metric.more_is_better else peer / mine

    def text(self) -> str:
        """The table as printed: medians, the range over repetitions in brackets, ratios to the peer."""
        head = [""] + [f"{m.title} ({m.unit})" if m.unit else m.title for m in self.metrics]
        head += [f"{m.title}: × {self.peer}" for m in self.metrics if self.peer]
        rows = [head]
        for one in self.measured:
            if not one.repetitions:
                rows.append([one.name, f"not measured ({one.missing or 'no result'})"])
                continue
            cells = [_cell(one.values(m.key), m.digits) for m in self.metrics]
            ratios = [self.ratio(one.name, m) for m in self.metrics if self.peer]
            rows.append([one.name, *cells, *("" if r is None else f"{r:.2f}" for r in ratios)])
        lines = [self.title + (f"   [goal: {self.goal}]" if self.goal else ""), *_aligned(rows)]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def content(self) -> dict[str, Any]:
        """Plain JSON: every repetition, medians and ratios."""
        return {
            "title": self.title,
            "goal": self.goal,
            "peer": self.peer,
            "notes": list(self.notes),
            "metrics": [asdict(metric) for metric in self.metrics],
            "contenders": [
                {
                    "name": one.name,
                    "missing": one.missing,
                    "median": {m.key: one.median(m.key) for m in self.metrics},
                    "ratio": {m.key: self.ratio(one.name, m) for m in self.metrics},
                    "repetitions": [
                        {k: v for k, v in repetition.items() if isinstance(v, int | float | str)}
                        for repetition in one.repetitions
                    ],
                }
                for one in self.measured
            ],
        }


def alternate(
    contenders: Sequence[Contender], repetitions: int, say: Callable[[str], None] | None = None
) -> list[Measured]:
    """Run every contender ``repetitions`` times, in turn (A B A B …), each time in a process of its own.

    A contender that fails is reported as not measured, with the last line it said, and not started again.
    """
    say = say or _whisper
    results: dict[str, list[dict[str, Any]]] = {contender.name: [] for contender in contenders}
    missing = {contender.name: contender.missing for contender in contenders}
    for repetition in range(repetitions):
        for contender in contenders:
            if missing[contender.name]:
                continue
            say(f"{contender.name} ({repetition + 1}/{repetitions})")
            try:
                results[contender.name].append(start(contender))
            except RuntimeError as error:
                missing[contender.name] = str(error)
                results[contender.name].clear()
    return [Measured(c.name, tuple(results[c.name]), missing[c.name]) for c in contenders]


def start(contender: Contender) -> dict[str, Any]:
    """One run of a contender in a fresh process and an empty folder; ``RuntimeError`` with its last line if it fails.

    Adds ``wall_s``, ``cpu_s`` and ``process_peak_mib`` to what it measured itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        command = [part.replace("{folder}", str(folder)) for part in contender.command]
        environment = {**os.environ, **contender.environment, RESULT_VARIABLE: str(folder / "result.json")}
        with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
            began = time.perf_counter()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment, cwd=folder
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"exit status {process.returncode}: {_last_words(folder)}")
        finished = Finished(folder, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
        around = {"wall_s": wall_s, "cpu_s": finished.cpu_s, "process_peak_mib": finished.peak_bytes / MIB}
        return {**around, **contender.read(finished)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def leave_result(values: Mapping[str, Any]) -> None:
    """Called by a contender's process: hand its measurements over."""
    Path(os.environ[RESULT_VARIABLE]).write_text(json.dumps(dict(values)))


def need(module: str, python: str, install: str) -> str:
    """Empty when ``python`` can import ``module``, else what to do about it, for ``Contender.missing``."""
    found = _versions(python, (module,), imports=True)
    return "" if module in found else f"pip install {install}, then --peer-python"


@functools.cache
def _versions(python: str, names: tuple[str, ...], imports: bool = False) -> dict[str, str]:
    code = (
        "import sys, json, importlib.util as u\nnames = sys.argv[1].split(',')\n"
        "print(json.dumps({n: '' for n in names if u.find_spec(n)}))"
        if imports
        else "import sys, json\nfrom importlib import metadata as m\nfound = {}\n"
        "for n in sys.argv[1].split(','):\n"
        "    try: found[n] = m.version(n)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))"
    )
    command = [python, "-P", "-c", code, ",".join(names)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return json.loads(answer.stdout) if answer.returncode == 0 else {}


def versions(python: str = sys.executable, names: Iterable[str] = VERSIONS_OF) -> dict[str, str]:
    """Installed versions, as ``python`` sees them, of what results depend on."""
    return _versions(python, tuple(names))


def machine() -> dict[str, Any]:
    """What the numbers were measured on: processor, cores this process may use, memory, GPU, operating system."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "gpu": gpu_name(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


@functools.cache
def gpu_name() -> str | None:
    """The first CUDA device that torch can use; None without one."""
    code = "import torch; print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
    answer = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def arguments(name: str, purpose: str, peers: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The options every benchmark has; ``peers`` are the names that ``--peer-python NAME=PYTHON`` accepts."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=purpose)
    parser.add_argument("--json", metavar="OUT", type=Path, help="also write everything measured to this file")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller work; noisier")
    if peers:
        parser.add_argument(
            "--peer-python",
            metavar="NAME=PYTHON",
            action="append",
            default=[],
            help=f"the interpreter that a peer is installed for ({', '.join(peers)}); else this one",
        )
    return parser


def peer_pythons(options: argparse.Namespace, peers: Sequence[str]) -> dict[str, str]:
    """The interpreter of each peer, from ``--peer-python``."""
    found = dict.fromkeys(peers, sys.executable)
    for given in options.peer_python:
        name, _, python = given.partition("=")
        if name not in found or shutil.which(python) is None:
            raise SystemExit(f"--peer-python {given}: give NAME=PYTHON with NAME among {', '.join(peers)}")
        found[name] = python
    return found


def conclude(name: str, comparisons: Sequence[Comparison], options: argparse.Namespace, **more: Any) -> None:
    """Print the tables and, where asked, write the JSON. ``more`` goes into the JSON (versions of peers, settings)."""
    facts = machine()
    print(f"bench.{name} on {facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, GPU: {facts['gpu']}")
    print("versions: " + ", ".join(f"{key} {value}" for key, value in versions().items()))
    for comparison in comparisons:
        print(f"\n{comparison.text()}")
    if options.json:
        content = {
            "bench": name,
            "quick": options.quick,
            "machine": facts,
            "versions": versions(),
            **more,
            "comparisons": [comparison.content() for comparison in comparisons],
        }
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "–"
    middle = _short(statistics.median(values), digits)
    if len(values) == 1:
        return middle
    return f"{middle} [{_short(min(values), digits)}–{_short(max(values), digits)}]"


def _short(value: float, digits: int) -> str:
    """``digits`` significant digits, thousands separated; never in exponents unless tiny."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        return f"{value:.1e}"
    whole = len(str(int(abs(value))))
    return f"{round(value, digits - whole):,.{max(0, digits - whole)}f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[column]) for row in full) for column in range(len(rows[0]))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)] if len(row) == len(widths) else row[1:]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _last_words(folder: Path) -> str:
    for name in ("stderr", "stdout"):
        lines = [line.strip() for line in (folder / name).read_text(errors="replace").splitlines() if line.strip()]
        if lines:
            return lines[-1][:300]
    return "it said nothing"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _whisper(text: str) -> None:
    print(f"  … {text}", file=sys.stderr, flush=True)
