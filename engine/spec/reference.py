"""What can be written in an experiment, read from the models themselves: keys, allowed values, defaults, meanings.

docs/configuration.md and the form of the Launch screen both come from here.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator

from engine.spec.problems import models_in

Shape = Literal["leaf", "model", "models", "mapping"]
Name = Callable[[str], str]
"""What a model's name is written as."""


@dataclass(frozen=True)
class Key:
    """One key of a model. ``values`` and ``meaning`` are Markdown."""

    name: str
    shape: Shape
    """A value, keys of a model, a list of models, or names each with a model."""
    models: tuple[type[BaseModel], ...]
    """What lies below; several where the data decide."""
    schema: dict[str, Any]
    """Of its value, as JSON schema."""
    default: Any
    required: bool
    meaning: str
    several: bool
    """Whether a value and a list of values are both understood."""

    def values(self, name: Name = str) -> str:
        """The allowed values in words."""
        text = describe_values(self.schema, name)
        return text.removeprefix("list of ") + ", or several" if self.several and text.startswith("list of ") else text

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it may be, or that its list may hold; empty where it may be other things too."""
        return _choices(self.schema)

    @property
    def is_text(self) -> bool:
        """Whether whatever is written is meant as text."""
        kinds = {option.get("type") for option in _options(self.schema)} - {"null"}
        return kinds == {"string"} and not self.choices

    @property
    def is_flag(self) -> bool:
        """Whether it is true or false."""
        return self.schema.get("type") == "boolean"


@functools.cache
def read_keys(model: type[BaseModel]) -> tuple[Key, ...]:
    """The keys of a model in the order they are declared."""
    schema = model.model_json_schema()
    # A model that refers to itself by name is wrapped; none of ours does, but its properties are found either way.
    properties = schema["properties"]
    meanings = read_meanings(model)
    found = []
    for name, field in model.model_fields.items():
        validators = [part.func.__name__ for part in field.metadata if isinstance(part, BeforeValidator)]
        found.append(
            Key(
                name=name,
                shape=_shape(field.annotation),
                models=tuple(dict.fromkeys(models_in(field.annotation))),
                schema=properties[name],
                default=None if field.is_required() else field.get_default(call_default_factory=True),
                required=field.is_required(),
                meaning=meanings.get(name, ""),
                several=any("item" in one or "all_as" in one or "by_method" in one for one in validators),
            )
        )
    return tuple(found)


def about(model: type[BaseModel]) -> str:
    """The first sentence of what a model is."""
    return " ".join((inspect.getdoc(model) or "").split()).partition(". ")[0].rstrip(".") + "."


@functools.cache
def read_meanings(model: type[BaseModel]) -> dict[str, str]:
    """What each field of a model says of itself, its parents' fields included."""
    meanings: dict[str, str] = {}
    for parent in reversed([one for one in model.__mro__ if issubclass(one, BaseModel) and one is not BaseModel]):
        try:
            (defined,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        except OSError:  # installed without sources: keys without meanings
            continue
        if isinstance(defined, ast.ClassDef):
            meanings |= {
                field.target.id: " ".join(text.value.value.split())
                for field, text in itertools.pairwise(defined.body)
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            }
    return meanings


def describe_values(schema: dict[str, Any], name: Name = str) -> str:
    """A JSON schema in words; ``name`` writes the name of a model."""
    if "$ref" in schema:
        return name(schema["$ref"].rpartition("/")[2])
    options = _options(schema)
    if options != [schema]:
        return " or ".join(dict.fromkeys(describe_values(one, name) for one in options if one.get("type") != "null"))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum") or [schema["const"]])
    kind = schema.get("type", "")
    if kind == "array":
        if "prefixItems" in schema:
            return "list of " + " and ".join(describe_values(item, name) for item in schema["prefixItems"])
        return f"list of {describe_values(schema['items'], name)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"name: {describe_values(inner, name)}" if isinstance(inner, dict) else "mapping"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
    return f"{words[kind]} {_bounds(schema)}".strip() if kind in words else "any"


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": "> ", "minimum": "≥ ", "exclusiveMaximum": "< ", "maximum": "≤ "}
    if "minimum" in schema:
        del signs["exclusiveMinimum"]
    return ", ".join(f"{sign}{schema[key]:,.12g}" for key, sign in signs.items() if key in schema)


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return schema.get("anyOf") or schema.get("oneOf") or [schema]


def _choices(schema: dict[str, Any]) -> tuple[str, ...]:
    options = [one for one in _options(schema) if one.get("type") != "null"]
    if len(options) != 1:
        return ()
    (only,) = options
    if "items" in only and only.get("type") == "array":
        return _choices(only["items"])
    found = only.get("enum") or ([only["const"]] if "const" in only else [])
    return tuple(str(value) for value in found)


def _shape(annotation: Any) -> Shape:
    if not models_in(annotation):
        return "leaf"
    origin = get_origin(annotation)
    if origin is dict:
        return "mapping"
    if origin is tuple:
        return "models"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "model"
    inner = [one for one in get_args(annotation) if models_in(one)]
    return _shape(inner[0] if len(inner) == 1 else Union[tuple(inner)]) if origin is not Union else "model"  # noqa: UP007
