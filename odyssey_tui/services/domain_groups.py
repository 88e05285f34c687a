"""Groups of domains (Wiki and S2ORC in the paper): a group alone can make a correlation, so they are told apart.

Given by hand, else by the ``groups`` of launched experiments, the newest first, else by M2D2's names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from store.errors import ConfigError
from store.names import suggest

if TYPE_CHECKING:
    from pathlib import Path

    from store.workspace import Workspace

M2D2 = "m2d2:"
WIKI, S2ORC = "Wiki", "S2ORC"
M2D2_WIKI = frozenset(
    (
        "Culture_and_the_arts",
        "General_referece",
        "Health_and_fitness",
        "History_and_events",
        "Human_activites",
        "Mathematics_and_logic",
        "Natural_and_physical_sciences",
        "Philosophy_and_thinking",
        "Religion_and_belief_systems",
        "Society_and_social_sciences",
        "Technology_and_applied_sciences",
    )
)
"""First-level Wikipedia domains as M2D2 spells them; a second-level one begins so, before ``__``."""


@dataclass(frozen=True)
class Groups:
    """The group of each domain that has one."""

    of: Mapping[str, str] = field(default_factory=dict)
    origin: str = ""
    """Where they come from, for people."""

    def among(self, domains: Iterable[str]) -> tuple[str, ...]:
        """The groups that some of ``domains`` are in, in order of first mention among all."""
        there = {self.of[domain] for domain in domains if domain in self.of}
        return tuple(group for group in dict.fromkeys(self.of.values()) if group in there)


def parse_groups(given: Sequence[str], domains: Sequence[str]) -> Groups:
    """Groups written as ``NAME=dom1,dom2``, one text each; ConfigError for what cannot be one."""
    of: dict[str, str] = {}
    for text in given:
        name, separator, listed = text.partition("=")
        names = [part.strip() for part in listed.split(",") if part.strip()]
        if not separator or not name.strip() or not names:
            raise ConfigError(
                f"--group {text!r} is no group", "Write NAME=domain,domain, as in --group Wiki=art,logic."
            )
        for domain in names:
            if domain not in domains:
                known = f"Domains with a similarity: {', '.join(domains)}."
                raise ConfigError(f"--group {name}: there is no domain {domain!r}", suggest(domain, domains, known))
            if (other := of.setdefault(domain, name.strip())) != name.strip():
                raise ConfigError(
                    f"--group {name}: {domain} is in the group {other}, too", "A domain has one group at most."
                )
    return Groups(of, "--group") if of else Groups()


def find_groups(
    workspace: Workspace, domains: Sequence[str], sources: Mapping[str, str], experiment: str | None = None
) -> Groups:
    """The groups of ``domains``: as launched experiments (or this one) name them, else by their ``sources``."""
    written = read_groups(workspace, domains, experiment)
    if written.of:
        return written
    of = {domain: group for domain in domains if (group := group_of_source(sources.get(domain, "")))}
    return Groups(of, "M2D2's names") if len(set(of.values())) > 1 else Groups()


def read_groups(workspace: Workspace, domains: Sequence[str], experiment: str | None = None) -> Groups:
    """The groups of the newest launched experiment that groups any of ``domains``."""
    from engine.launch.experiments import read_launches

    for launched in read_launches(workspace):
        if experiment in (None, launched.name):
            of = {domain: group for domain, group in groups_in(launched.document).items() if domain in domains}
            if of:
                return Groups(of, f"experiment {launched.name}")
    return Groups()


def groups_in(document: Path) -> dict[str, str]:
    """The group of each domain that an experiment's file groups; none where it cannot be read."""
    import yaml

    try:
        text = document.read_text()
        written: Any = yaml.safe_load(text) if "groups" in text else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # told where experiments are listed
    groups = written.get("groups") if isinstance(written, dict) else None
    pairs = groups.items() if isinstance(groups, dict) else ()
    listed = ((str(group), [names] if isinstance(names, str) else names) for group, names in pairs)
    return {str(domain): group for group, names in listed if isinstance(names, list) for domain in names}


def group_of_source(source: str) -> str:
    """Wiki or S2ORC for a domain of M2D2; empty for other text."""
    if not source.startswith(M2D2):
        return ""
    return WIKI if source.removeprefix(M2D2).partition("__")[0] in M2D2_WIKI else S2ORC
