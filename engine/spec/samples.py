"""Finding an experiment by what a user typed: a path, or the name of a sample."""

from __future__ import annotations

from pathlib import Path

from engine.spec.problems import nearest
from store.errors import ConfigError

SAMPLES = "sample_configs"


def sample_root(package: Path) -> Path:
    """The folder of sample experiments: inside an installed ``package`` folder, beside it in a checkout."""
    installed = package / SAMPLES
    return installed if installed.is_dir() else package.parent / SAMPLES


def list_samples(root: Path) -> dict[str, Path]:
    """Sample experiments by name."""
    return {file.stem: file for file in sorted(root.glob("*.yaml"))}


def find_config(text: str, root: Path) -> Path:
    """The file that ``text`` names: an existing path, else a sample of ``root``; ``ConfigError`` names the nearest."""
    written = Path(text).expanduser()
    if written.is_file():
        return written
    samples = list_samples(root)
    if text.removesuffix(".yaml") in samples:
        return samples[text.removesuffix(".yaml")]
    if written.suffix in (".yaml", ".yml") or len(written.parts) > 1:
        around = sorted(file.name for file in written.parent.glob("*.y*ml"))
        raise ConfigError(f"{text}: no such file", nearest(written.name, around) or "Check the path.")
    raise ConfigError(f"{text}: neither a file nor a sample experiment", nearest(text, samples))
