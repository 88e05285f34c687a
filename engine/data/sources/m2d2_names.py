"""The domain names of M2D2 (arXiv 2210.07370), spelt as the published files are spelt, mistakes included.

They are those of ``m2d2_split_names.py`` in the dataset's repository (github.com/machelreid/m2d2): 239, of which 236
are domains.
"""

from __future__ import annotations

import difflib
import re

WIKI_L2: dict[str, tuple[str, ...]] = {
    "Culture_and_the_arts": (
        "Culture_and_Humanities",
        "Games_and_Toys",
        "Mass_media",
        "Performing_arts",
        "Sports_and_Recreation",
        "The_arts_and_Entertainment",
        "Visual_arts",
    ),
    "General_referece": ("Further_research_tools_and_topics", "Reference_works"),
    "Health_and_fitness": (
        "Exercise",
        "Health_science",
        "Human_medicine",
        "Nutrition",
        "Public_health",
        "Self_care",
    ),
    "History_and_events": ("By_continent", "By_period", "By_region"),
    "Human_activites": ("Human_activities", "Impact_of_human_activity"),
    "Mathematics_and_logic": ("Fields_of_mathematics", "Logic", "Mathematics"),
    "Natural_and_physical_sciences": ("Biology", "Earth_sciences", "Nature", "Physical_sciences"),
    "Philosophy_and_thinking": ("Philosophy", "Thinking"),
    "Religion_and_belief_systems": ("Allah", "Belief_systems", "Major_beliefs_of_the_world"),
    "Society_and_social_sciences": ("Social_sciences", "Society"),
    "Technology_and_applied_sciences": ("Agriculture", "Computing", "Engineering", "Transport"),
}
S2ORC_L1 = (
    *("astro-ph_l1", "cond-mat_l1", "cs_l1", "econ_l1", "eess_l1", "math_l1", "nlin_l1", "physics_l1"),
    *("q-bio_l1", "q-fin_l1", "stat_l1", "Art", "Philosophy"),
)
S2ORC_L2: dict[str, str] = {
    "astro-ph": "CO EP GA HE IM SR",
    "cond-mat": "dis-nn mes-hall mtrl-sci other quant-gas soft stat-mech str-el supr-con",
    "cs": "AI AR CC CE CG CL CR CV CY DB DC DL DM DS ET FL GL GR GT HC IR IT LG LO MA MM MS NA NE NI OH OS PF PL RO SC "
    "SD SE SI SY",
    "econ": "EM GN TH",
    "eess": "AS IV SP SY",
    "math": "AC AG AP AT CA CO CT CV DG DS FA GM GN GR GT HO IT KT LO MG MP NA NT OA OC PR QA RA RT SG SP ST",
    "nlin": "AO CD CG PS SI",
    "physics": "acc-ph ao-ph app-ph atm-clus atom-ph bio-ph chem-ph class-ph comp-ph data-an ed-ph flu-dyn gen-ph "
    "geo-ph hist-ph ins-det med-ph optics plasm-ph pop-ph soc-ph space-ph",
    "q-bio": "BM CB GN MN NC OT PE QM SC TO",
    "q-fin": "CP EC GN MF PM PR RM ST TR",
    "stat": "AP CO ME ML OT TH",
}
"""arXiv archive → its categories."""
S2ORC_ARCHIVES = (
    *("alg-geom", "ao-sci", "astro-ph", "atom-ph", "bayes-an", "chao-dyn", "chem-ph", "cmp-lg", "comp-gas", "cond-mat"),
    *("dg-ga", "funct-an", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math-ph", "mtrl-th", "nucl-ex"),
    *("nucl-th", "patt-sol", "plasm-ph", "q-alg", "q-bio", "quant-ph", "solv-int", "supr-con"),
)
"""Archives without categories, some of them closed since; and papers of archives that name no category."""
WIKI: tuple[str, ...] = (
    *WIKI_L2,
    *(f"{first}__{second}" for first, seconds in WIKI_L2.items() for second in seconds),
)
KNOWN: tuple[str, ...] = (
    *WIKI,
    *S2ORC_L1,
    *(f"{archive}.{category}" for archive, categories in S2ORC_L2.items() for category in categories.split()),
    *S2ORC_ARCHIVES,
)
NO_DOMAINS = ("eval_sets", "only_text", "only_txt2")
"""Listed beside the domains; no train, valid and test text of a domain."""
_IN_WORDS = ("cond-mat", "physics")
"""Archives that spell their categories in lower case (``cond-mat.str-el``); others have two capitals (``cs.CL``)."""
_CATEGORY = re.compile(
    rf"(?:{'|'.join(_IN_WORDS)})\.[a-z]+(?:-[a-z]+)?|(?:{'|'.join(set(S2ORC_L2) - set(_IN_WORDS))})\.[A-Z]{{2}}"
)


def is_domain(name: str) -> bool:
    """Whether ``name`` is a published domain, or has the form of an arXiv category, which only a download confirms."""
    return name in KNOWN or _CATEGORY.fullmatch(name) is not None


def advise(wanted: str) -> str:
    """What to write instead of ``wanted``: the categories of its archive, or at most three names that resemble it."""
    archive, dot, _ = wanted.partition(".")
    if dot and archive in S2ORC_L2 and is_domain(wanted):
        return f"{archive} has {', '.join(S2ORC_L2[archive].split())}."
    names = nearest_domains(wanted)
    return f"Nearest: {', '.join(names)}." if names else ""


def nearest_domains(wanted: str) -> list[str]:
    """At most three published names that resemble ``wanted``, those that are it with another ending first."""
    by_lower = {name.lower(): name for name in KNOWN}
    lower = wanted.lower()
    own = [
        name
        for key, name in by_lower.items()
        if key == f"{lower}_l1" or key.endswith(f"__{lower}") or _letters(key) == _letters(lower)
    ]
    close = difflib.get_close_matches(lower, by_lower, n=3, cutoff=0.6)
    # Second levels by themselves, too: of a whole name most letters are its first level's.
    parts = {key.rpartition("__")[2]: key for key in by_lower if "__" in key}
    close += [parts[part] for part in difflib.get_close_matches(lower, parts, n=2, cutoff=0.75)]
    return list(dict.fromkeys([*own, *(by_lower[key] for key in close)]))[:3]


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name)
