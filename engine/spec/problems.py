"""What is wrong with an experiment as written, in the words of the file: key, bad value, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel

from engine.spec.located import KeyPath, Located, dotted
from store.errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHOWN = 12


@dataclass(frozen=True)
class Problem:
    """One thing wrong at ``path``: ``text`` completes "KEY …", ``advice`` says what to do."""

    path: KeyPath
    text: str
    advice: str = ""


def nearest(word: object, known: Iterable[object]) -> str:
    """``Did you mean …?`` for a misspelt word, else the list of what there is."""
    names = [str(name) for name in known]
    if close := difflib.get_close_matches(str(word), names, n=1, cutoff=0.6):
        return f"Did you mean {close[0]}?"
    if not names:
        return ""
    return f"There {'is' if len(names) == 1 else 'are'}: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}."


def raise_problems(problems: list[Problem], located: Located) -> None:
    """Raise ONE error that lists all problems of a file, up to ``SHOWN``; return when there are none."""
    if not problems:
        return
    lines = [f"{located.place(problem.path)}: {_sentence(problem)}" for problem in problems[:SHOWN]]
    if len(problems) == 1:
        raise ConfigError(lines[0], problems[0].advice or "Correct the value and try again.")
    listed = [
        f"{line}{f' ({problem.advice})' if problem.advice else ''}"
        for line, problem in zip(lines, problems, strict=False)
    ]
    if len(problems) > SHOWN:
        listed.append(f"… and {len(problems) - SHOWN} more")
    raise ConfigError("\n".join(listed), f"Correct these {len(problems)} problems and try again.")


def _sentence(problem: Problem) -> str:
    return f"{dotted(problem.path)} {problem.text}" if problem.path else problem.text


def from_validation(errors: Iterable[ErrorDetails], data: Any, model: type[BaseModel]) -> list[Problem]:
    """Translate validation errors of ``data`` against ``model``; a key that is only misspelt is not missing as well."""
    errors = list(errors)
    misspelt = {
        (error["loc"][:-1], meant)
        for error in errors
        if error["type"] == "extra_forbidden"
        for meant in difflib.get_close_matches(str(error["loc"][-1]), _keys_at(model, error["loc"][:-1]), n=1)
    }
    return [
        _translate(error, data, model)
        for error in errors
        if error["type"] != "missing" or (error["loc"][:-1], error["loc"][-1]) not in misspelt
    ]


def _translate(error: ErrorDetails, data: Any, model: type[BaseModel]) -> Problem:
    path = _path_in(data, error["loc"], absent=error["type"] in ("missing", "extra_forbidden"))
    describe = _DESCRIBE.get(error["type"], _describe_other)
    if error["type"] == "extra_forbidden":
        return Problem(path, "is not a known key", nearest(path[-1], _keys_at(model, error["loc"][:-1])))
    text, advice = describe(error)
    return Problem(path, text, advice)


def _path_in(data: Any, loc: tuple[str | int, ...], *, absent: bool) -> KeyPath:
    """The path within the data: tags that validation adds to ``loc`` are left out.

    ``absent``: the last part names a key that should be there, or should not.
    """
    path: list[str | int] = []
    for position, part in enumerate(loc):
        inside = part in data if isinstance(data, Mapping) else isinstance(data, list) and part in range(len(data))
        if inside:
            data = data[part]
        elif not absent or position < len(loc) - 1 or not isinstance(part, str):
            continue  # a union's tag, the mark of a key, or the index of a single value that stands for a list of one
        path.append(part)
    return tuple(path)


def _keys_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    annotation: Any = model
    for part in loc:
        annotation = _inside(annotation, part)
    return [name for candidate in models_in(annotation) for name in candidate.model_fields]


def _inside(annotation: Any, part: str | int) -> Any:
    """The annotation one step down: a field of a model, an item of a container, a member of a tagged union."""
    models = models_in(annotation)
    for candidate in models:
        if getattr(candidate, "tag", None) == part:
            return candidate
    fields = [candidate.model_fields[part].annotation for candidate in models if part in candidate.model_fields]
    return Union[tuple(fields)] if fields else annotation  # noqa: UP007 - built at run time


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, wherever in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None and not isinstance(annotation, UnionType):
        return []
    return [model for inner in get_args(annotation) for model in models_in(inner)]


Description = tuple[str, str]


def _must_be(what: str) -> Callable[[ErrorDetails], Description]:
    return lambda error: (f"must be {what}, not {_shown(error['input'])}", "")


def _bound(word: str, limit: str) -> Callable[[ErrorDetails], Description]:
    return lambda error: (f"is {_shown(error['input'])}; it must be {word} {error['ctx'][limit]:,.12g}", "")


def _describe_missing(error: ErrorDetails) -> Description:
    last = error["loc"][-1]
    if isinstance(last, int):
        return f"lacks value {last + 1}", "Give as many as the default has."
    return "is missing", f"Add {last}: …"


def _describe_literal(error: ErrorDetails) -> Description:
    choices = [choice.strip().strip("'") for choice in error["ctx"]["expected"].replace(" or ", ", ").split(",")]
    return f"cannot be {_shown(error['input'])}", nearest(error["input"], choices)


def _describe_value(error: ErrorDetails) -> Description:
    return str(error["ctx"]["error"]), ""


def _describe_pattern(error: ErrorDetails) -> Description:
    return (
        f"cannot be {_shown(error['input'])}",
        "Use letters, digits, dot, dash and underscore, at most 64, a letter or digit first.",
    )


def _describe_other(error: ErrorDetails) -> Description:
    return f"is {_shown(error['input'])}: {error['msg']}", ""


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


_WHOLE, _NUMBER, _LIST, _MAPPING = "a whole number", "a number", "a list", "a mapping of keys"
_DESCRIBE: dict[str, Callable[[ErrorDetails], Description]] = {
    "missing": _describe_missing,
    "literal_error": _describe_literal,
    "value_error": _describe_value,
    "string_pattern_mismatch": _describe_pattern,
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "int_type": _must_be(_WHOLE),
    "int_parsing": _must_be(_WHOLE),
    "int_from_float": _must_be(_WHOLE),
    "float_type": _must_be(_NUMBER),
    "float_parsing": _must_be(_NUMBER),
    "string_type": _must_be("text"),
    "bool_type": _must_be("true or false"),
    "tuple_type": _must_be(_LIST),
    "list_type": _must_be(_LIST),
    "dict_type": _must_be(_MAPPING),
    "model_type": _must_be(_MAPPING),
    "model_attributes_type": _must_be(_MAPPING),
}
