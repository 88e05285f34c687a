"""JSON objects as dataclasses: what is missing or of another type is a message, what is unknown is left out."""

from __future__ import annotations

import math
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from store.errors import DataError
from store.files import read_json

Record = TypeVar("Record")


def read_record(path: Path, kind: type[Record], hint: str, **extra: Any) -> Record:
    """The object in a JSON file as ``kind``, with ``extra`` fields from elsewhere.

    ``DataError`` names file and key, with ``hint``; ``FileNotFoundError`` passes.
    """
    try:
        value = read_json(path)
    except DataError as error:
        raise DataError(error.message, hint) from error
    return parse_record(kind, value, path, hint, **extra)


def parse_record(kind: type[Record], value: Any, path: Path, hint: str, **extra: Any) -> Record:
    """As ``read_record``, of a value that was read from ``path``."""
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no JSON object", hint)
    made = dict(extra)
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in made:
            continue
        if field.name in value:
            made[field.name] = _fit(_types(kind)[field.name], value[field.name], f"{path}: {field.name}", path, hint)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{path}: {field.name} is missing", hint)
    return kind(**made)


@cache
def _types(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind)


def _fit(wanted: Any, value: Any, place: str, path: Path, hint: str) -> Any:
    """``value`` as the type, with tuples for lists and dataclasses for objects."""
    if wanted is Any:
        return value
    if is_dataclass(wanted) and isinstance(wanted, type):
        return parse_record(wanted, value, path, hint)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _fit(next(one for one in arguments if one is not type(None)), value, place, path, hint)
    if origin is tuple and isinstance(value, list):
        if arguments[0] is str and all(type(item) is str for item in value):  # thousands of runs
            return tuple(value)
        return tuple(_fit(arguments[0], item, place, path, hint) for item in value)
    # A truth value is a number in Python, in a file it is a mistake; a whole number is a number.
    plain = {float: (int, float), int: (int,), str: (str,), bool: (bool,)}.get(wanted, ())
    if type(value) not in plain or (wanted is float and not math.isfinite(value)):
        raise DataError(f"{place} is {str(value)[:80]!r}, and must be {getattr(wanted, '__name__', 'a list')}", hint)
    return value
