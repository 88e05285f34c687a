"""The domain names of M2D2 (arXiv 2210.07370), spelt as the published files are spelt, mistakes included."""

from __future__ import annotations

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
S2ORC_EXAMPLES = (
    *("astro-ph.GA", "cond-mat.str-el", "cs.CL", "econ.EM", "math.AG", "physics.optics", "q-bio.NC", "stat.ML"),
    "hep-th",
)
KNOWN: tuple[str, ...] = (
    *WIKI_L2,
    *(f"{first}__{second}" for first, seconds in WIKI_L2.items() for second in seconds),
    *S2ORC_L1,
)
# Second-level S2ORC domains are arXiv categories: ARCHIVE.CATEGORY (cs.CL, cond-mat.str-el), or an archive without any.
DIVIDED_ARCHIVES = ("cs", "econ", "eess", "math", "nlin", "physics", "q-bio", "q-fin", "stat", "astro-ph", "cond-mat")
WHOLE_ARCHIVES = (
    *("gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math-ph", "nucl-ex", "nucl-th", "quant-ph"),
    *("astro-ph", "cond-mat"),
)
_CATEGORY = re.compile(
    rf"(?:{'|'.join(DIVIDED_ARCHIVES)})\.(?:[A-Z]{{2}}|[a-z]+(?:-[a-z]+)?)|{'|'.join(WHOLE_ARCHIVES)}"
)


def is_domain(name: str) -> bool:
    """Whether ``name`` is a Wikipedia or first-level S2ORC domain, or has the form of an arXiv category."""
    return name in KNOWN or _CATEGORY.fullmatch(name) is not None
