"""The forms of laws there are: what each reads, its parameters with their bounds and units, where it comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.laws.form import Form

AT_CENTRE = "at the data's centre"


def list_laws() -> list[dict[str, Any]]:
    """Every form of the registry, as ``describe_law`` does."""
    from engine.laws.forms import REGISTRY

    return [describe_form(form) for form in REGISTRY.values()]


def describe_law(name: str) -> dict[str, Any]:
    """A form by its name, or as a YAML file defines it. Raises as ``table_fits.read_form``."""
    from engine.laws.forms import form_of
    from odyssey_tui.services.table_fits import read_form

    return describe_form(form_of(read_form(name)))


def describe_form(form: Form) -> dict[str, Any]:
    """In plain values. Bounds and starts are natural values, those of ``scaled`` parameters at the data's centre."""
    from engine.laws.expression import VARIABLES

    return {
        "form": form.name,
        "formula": form.formula,
        "source": form.source,
        "losses": list(form.roles),
        "reads": [symbol for symbol, column in VARIABLES.items() if column in form.needs],
        "saw": form.saw,
        "exact_at_zero": form.exact_at_zero,
        "n_parameters": len(form.parameters),
        "parameters": [
            {
                "name": parameter.name,
                "meaning": parameter.meaning,
                "low": parameter.bounds[0],
                "high": parameter.bounds[1],
                "start_low": parameter.start[0],
                "start_high": parameter.start[1],
                "scaled": bool(parameter.scaling),
                "dropped_without": parameter.axis,
            }
            for parameter in form.parameters
        ],
    }
