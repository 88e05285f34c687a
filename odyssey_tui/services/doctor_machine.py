"""Verdicts on the libraries, the GPUs and the disks of this machine. Nothing heavy is imported: files are read."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from odyssey_tui.services.doctor import Verdict

DISTRIBUTION = "odyssey-tui"
TOLD = ("torch", "transformers", "datasets", "peft", "textual", "duckdb")
"""Libraries whose versions are told even when all is well."""
EXTRAS = {"bitsandbytes": ("qlora", "QLoRA"), "sentence-transformers": ("sentence", "sentence encoders")}
TIGHT_BYTES = 5_000_000_000
"""With less free than this a sweep that keeps states soon has no room."""
_CUDA = re.compile(r"^cuda[^=\n]*=\s*'([\d.]+)'", re.MULTILINE)


def examine_libraries() -> Iterator[Verdict]:
    """Python and every library that odyssey needs, against the versions that it declares."""
    from packaging.specifiers import SpecifierSet

    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        what = f"{DISTRIBUTION} is not installed as a package: what it needs is not known"
        yield Verdict("libraries", DISTRIBUTION, "problem", what, "pip install PATH, of its checkout")
        return
    version, wanted = platform.python_version(), SpecifierSet(about["Requires-Python"] or "")
    if wanted.contains(version, prereleases=True):
        yield Verdict("libraries", "python", "ok", f"{version} ({sys.prefix})")
    else:
        yield Verdict("libraries", "python", "problem", version, f"Install odyssey into a Python {wanted}.")
    yield from judge_requirements(metadata.requires(DISTRIBUTION) or ())
    for name, (extra, purpose) in EXTRAS.items():
        if _installed(name) is None:
            fix = f"pip install '{DISTRIBUTION}[{extra}]'"
            yield Verdict("libraries", name, "info", f"not installed: no {purpose}", fix)
        else:
            yield Verdict("libraries", name, "ok", f"{_installed(name)}")


def judge_requirements(lines: Iterable[str]) -> Iterator[Verdict]:
    """Versions of what is needed here: those that do not fit, and the ``TOLD`` ones."""
    from packaging.requirements import Requirement

    for requirement in map(Requirement, lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        found, wanted = _installed(requirement.name), f"'{requirement.name}{requirement.specifier}'"
        if found is None:
            yield Verdict("libraries", requirement.name, "problem", "not installed", f"pip install {wanted}")
        elif not requirement.specifier.contains(found, prereleases=True):
            what = f"{found}, and odyssey needs {requirement.specifier}"
            yield Verdict("libraries", requirement.name, "problem", what, f"pip install {wanted}")
        elif requirement.name in TOLD:
            yield Verdict("libraries", requirement.name, "ok", f"{found} ({requirement.specifier})")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine_gpus() -> Iterator[Verdict]:
    """The cards, and whether torch and the driver go together."""
    from odyssey_tui.services.gpus import count_cpu_slots, count_hidden, read_gpu_rows

    rows = read_gpu_rows(None)
    hidden = count_hidden()
    if not rows and hidden:
        what = f"CUDA_VISIBLE_DEVICES hides every GPU ({hidden}): runs use CPU cores, {count_cpu_slots()} at a time"
        yield Verdict("gpu", "cards", "warning", what, "unset CUDA_VISIBLE_DEVICES")
        return
    if not rows:
        what = f"no GPU here, or no driver for one: runs use CPU cores, {count_cpu_slots()} at a time"
        yield Verdict("gpu", "cards", "info", what)
        return
    for row in rows:
        memory = f", {row.gpu.memory_total / 1e9:.0f} GB" if row.gpu.memory_total else ""
        users = row.users or ()
        held = f"; in use by {', '.join(user.who for user in users)}" if users else ""
        yield Verdict("gpu", row.name, "info" if held else "ok", f"{row.gpu.name}{memory}{held}")
    yield judge_driver(*read_driver(), read_torch_cuda())


def read_driver() -> tuple[str, tuple[int, int] | None]:
    """The driver's version, and the newest CUDA it can serve; empty and None where it does not say."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return "", None
    try:
        driver, cuda = str(pynvml.nvmlSystemGetDriverVersion()), int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
    except (pynvml.NVMLError, AttributeError):
        return "", None
    finally:
        pynvml.nvmlShutdown()
    return driver, (cuda // 1000, cuda % 1000 // 10)


def read_torch_cuda() -> tuple[int, int] | None:
    """The CUDA that the installed torch was built with, from its ``version.py``; None for a build without."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        match = _CUDA.search((Path(found.origin).parent / "version.py").read_text())
    except OSError:
        return None
    major, _, minor = (match[1] if match else "").partition(".")
    return (int(major), int(minor.split(".")[0] or 0)) if major else None


def judge_driver(driver: str, serves: tuple[int, int] | None, built: tuple[int, int] | None) -> Verdict:
    """Whether torch will see the cards. A driver serves every CUDA of its own major version and the older ones
    (NVIDIA's minor version compatibility)."""
    if built is None:
        what = "torch is a build without CUDA, or not installed: it will not see the cards"
        return Verdict("gpu", "driver", "problem", what, "pip install --force-reinstall torch")
    torch = f"torch is built for CUDA {built[0]}.{built[1]}"
    if serves is None:
        return Verdict("gpu", "driver", "info", f"{torch}; the driver does not say what it serves")
    what = f"driver {driver} serves CUDA {serves[0]}.{serves[1]}; {torch}"
    if built[0] > serves[0]:
        fix = f"Update the driver, or install a torch built for CUDA {serves[0]} (pytorch.org says how)."
        return Verdict("gpu", "driver", "problem", what, fix)
    return Verdict("gpu", "driver", "ok", what)


def examine_disks(workspace: Path) -> Iterator[Verdict]:
    """Room for the workspace and for what is downloaded."""
    yield _judge_room("workspace", workspace.expanduser().absolute())
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    yield _judge_room("downloads", Path(home).expanduser().absolute())


def _judge_room(check: str, folder: Path) -> Verdict:
    from store.space import LEAST_BYTES, look_at

    room = look_at(folder)
    what = f"{room.free_bytes / 1e9:.1f} GB free for {folder}"
    if room.free_bytes < LEAST_BYTES:
        return Verdict("disk", check, "problem", f"{what}: nothing will be started", _make_room(check))
    if room.free_bytes < TIGHT_BYTES:
        return Verdict("disk", check, "warning", what, _make_room(check))
    return Verdict("disk", check, "ok", what)


def _make_room(check: str) -> str:
    if check == "workspace":
        return "`odyssey store gc` lists what could go; or use another disk with --workspace."
    return "Empty the folder, or name one on another disk in HF_HOME."
