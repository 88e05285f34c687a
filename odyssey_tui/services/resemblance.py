"""A stand-alone comparison of texts from the outside: which files are meant, what ΔL goes with it, who computes."""

from __future__ import annotations

import csv
import glob
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from engine.spec.resemblance import Resemblance, Side
from engine.stats import Correlation, pearson, spearman
from odyssey_tui.services.asking import Hear, ask
from store.errors import ConfigError, DataError
from store.names import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

ZERO_SHOT = "zero_shot"
COUPLING = "ΔL contains minus this loss: part of the correlation is there by construction"
LONGEST_NAME = 40
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""The matrices are small: with two threads they took twice the processor time, and many times the time where other
work was running."""


@dataclass(frozen=True)
class Deltas:
    """ΔL by domain, means where a domain stands more than once, and remarks on what could not be used."""

    values: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Agreement:
    """How ΔL goes with one measure through one embedder, oriented so that higher is more similar."""

    measure: str
    embedder: str
    pearson: Correlation
    spearman: Correlation

    @property
    def sentence(self) -> str:
        """``r = .41 [−.02, .71], p = .36, n = 7; ρ = …``, or why there is none."""
        if self.pearson.r is None:
            return self.pearson.sentence
        return f"{self.pearson.sentence}; {self.spearman.sentence.removesuffix(f', n = {self.spearman.n}')}"

    def content(self) -> dict[str, Any]:
        """Plain JSON."""
        note = COUPLING if self.measure == ZERO_SHOT else ""
        return {**asdict(self), "sentence": self.sentence, "note": note}


def compare(request: Resemblance, hear: Hear) -> dict[str, Any]:
    """Have a process compare; errors and ``hear`` as of ``asking.ask``."""
    return ask(
        "engine.similarity.standalone",
        request.model_dump_json(),
        hear,
        noun="comparison",
        killed_hint="Lower --samples or --sample-tokens, or use a smaller model.",
        environment=ONE_THREAD,
    )


def read_reference(files: Iterable[str]) -> Side:
    """The reference's files, named after them."""
    found = tuple(path for file in files for path in expand(file))
    name = "+".join(dict.fromkeys(Path(file).name.partition(".")[0] or Path(file).name for file in found))
    return Side(name=name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…", files=found)


def read_domains(values: Iterable[str]) -> tuple[Side, ...]:
    """Domains written ``NAME=FILE``; a FILE may be a folder or a pattern like ``law/*.txt``.

    ConfigError for a value without NAME and for a NAME given twice.
    """
    sides: dict[str, Side] = {}
    for value in values:
        name, equals, file = value.partition("=")
        if not equals or not name.strip() or "/" in name:
            stem = Path(value.lstrip("=")).name.partition(".")[0] or "NAME"
            raise ConfigError(f"--domain {value}: no NAME", f"Write --domain {stem}={value.lstrip('=')}")
        if not file:
            raise ConfigError(f"--domain {value}: no FILE", f"Write --domain {name}=FILE, a folder or a pattern.")
        if name in sides:
            raise ConfigError(
                f"--domain: {name} is given twice",
                "Give each a name of its own, or all files at once: a folder, or a pattern in quotes.",
            )
        sides[name] = Side(name=name, files=tuple(expand(file)))
    return tuple(sides.values())


def expand(file: str) -> list[str]:
    """The files that a pattern means, sorted; anything that exists, or is no pattern, as it is."""
    path = str(Path(file).expanduser())
    if Path(path).exists() or not glob.has_magic(path):
        return [path]
    return sorted(glob.glob(path, recursive=True)) or [path]


def read_deltas(file: str, domains: Sequence[str]) -> Deltas:
    """The columns ``domain`` and ``delta`` (nats/token) of a CSV file.

    DataError when it cannot be read, a column is missing, a value is no number, or no row is of one of ``domains``.
    """
    found: dict[str, list[float]] = defaultdict(list)
    notes = []
    others: dict[str, None] = {}
    for number, domain, text in _rows(Path(file).expanduser()):
        try:
            delta = float(text)
        except ValueError:
            raise DataError(
                f"{file}:{number}: delta = {text!r} is no number", "Write nats per token, such as 0.12."
            ) from None
        if domain not in domains:
            others[domain] = None
        elif math.isfinite(delta):
            found[domain].append(delta)
        else:
            notes.append(f"{file}:{number}: ΔL of {domain} is {text}, left out")
    if not found and not notes:
        listed = f"Its domains: {', '.join(list(others)[:6])}." if others else "It has no rows."
        raise DataError(f"{file}: no ΔL of {' or '.join(domains)}", suggest(domains[0], others, listed))
    if others:
        notes.append(f"{file}: also of {', '.join(others)}, which is no --domain")
    missing = [domain for domain in domains if domain not in found]
    if missing:
        notes.append(f"{file}: no ΔL of {', '.join(missing)}")
    return Deltas({domain: fmean(values) for domain, values in found.items()}, tuple(notes))


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = csv.DictReader(stream)
            columns = [name.strip() for name in table.fieldnames or ()]
            for wanted in ("domain", "delta"):
                if wanted not in columns:
                    there = f"Its columns: {', '.join(columns)}." if columns else "It is empty."
                    raise DataError(f"{path}: no column {wanted!r}", suggest(wanted, columns, there))
            for row in table:
                cells = {(key or "").strip(): (value or "").strip() for key, value in row.items() if key is not None}
                yield table.line_num, cells["domain"], cells["delta"]
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}", "Give a CSV file with columns domain and delta."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file in UTF-8: {error}", "Give columns domain and delta.") from error


def correlate(rows: Sequence[Mapping[str, Any]], deltas: Mapping[str, float]) -> list[Agreement]:
    """ΔL against every measure through every embedder, over the domains that have both."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["measure"], row["embedder"]].append(row)
    agreements = []
    for (measure, embedder), found in groups.items():
        shared = [row for row in found if row["domain"] in deltas]
        x = [row["value"] if row["higher_is_closer"] else -row["value"] for row in shared]
        y = [deltas[row["domain"]] for row in shared]
        agreements.append(Agreement(measure, embedder, pearson(x, y), spearman(x, y)))
    return agreements


def sort_rows(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The closest domain first within each measure and embedder, which stay in the order in which they came."""
    rows = list(rows)
    order = {key: number for number, key in enumerate(dict.fromkeys((r["measure"], r["embedder"]) for r in rows))}

    def key(row: Mapping[str, Any]) -> tuple[int, float]:
        distance = -row["value"] if row["higher_is_closer"] else row["value"]
        return order[row["measure"], row["embedder"]], distance

    return sorted(rows, key=key)
