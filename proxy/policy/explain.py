"""A pydantic error as a ``Problem``: at the right line, in the words of the file, with what would be right."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from proxy.policy.errors import Problem, did_you_mean, show
from proxy.policy.rules import CLASH
from proxy.policy.text import Document, Loc, at

_KINDS: Mapping[str, tuple[str, str]] = {
    "string_type": ("text", "put it in quotes"),
    "int_type": ("a whole number", "write digits without quotes or unit"),
    "int_from_float": ("a whole number", "write digits without a fraction"),
    "float_type": ("a number", "write digits without quotes or unit"),
    "finite_number": ("a number", "write digits"),
    "bool_type": ("true or false", "write true or false without quotes"),
    "tuple_type": ("a list", "write [one, two], or one entry a line, each after a hyphen"),
    "model_type": ("a mapping", "write {key: value}, or one key: value a line"),
    "model_attributes_type": ("a mapping", "write {key: value}, or one key: value a line"),
}
_BOUNDS: Mapping[str, str] = {
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
    "less_than": "must be less than {lt}",
    "too_short": "needs at least {min_length} entry",
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters or fewer",
}


def problems(errors: Iterable[ErrorDetails], document: Document, model: type[BaseModel]) -> Iterator[Problem]:
    """One problem for each error that the reader of the file has not reported already."""
    for error in errors:
        loc: Loc = tuple(error["loc"])
        if error["type"] == "too_short" and at(document.value, loc):
            continue  # the list has entries, none of them good: each has an error of its own
        if error["type"] != CLASH and loc not in document.faulty:
            yield _problem(error, loc, document, model)


def _problem(error: ErrorDetails, loc: Loc, document: Document, model: type[BaseModel]) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    name = str(loc[-1]) if loc else "the file"
    value = show(at(document.value, loc))
    if kind == "sekisho":
        return Problem(document.place(*loc), str(context["why"]), str(context["hint"]))
    if kind == "extra_forbidden":
        known = [key for key in _keys(model, loc[:-1]) if at(document.value, (*loc[:-1], key)) is None]
        return Problem(document.key(*loc), f"unknown key {show(name)}", did_you_mean(name, known))
    if kind == "missing":
        field = _field(model, loc)
        why = f"{_owner(document, loc[:-1])} has no {show(name)}"
        return Problem(document.place(*loc[:-1]), why, (field.description or "") if field else "")
    if kind == "literal_error":
        allowed = re.findall(r"[^\s',]+", re.sub(r" or ", " ", str(context.get("expected", ""))))
        return Problem(
            document.place(*loc), f"{_label(loc)} cannot be {value}", did_you_mean(value.strip('"'), allowed)
        )
    if kind in _KINDS:
        wanted, hint = _KINDS[kind]
        return Problem(document.place(*loc), f"{_label(loc)} must be {wanted}, not {value}", hint)
    if kind in _BOUNDS:
        field = _field(model, loc)
        why = f"{_label(loc)} {_BOUNDS[kind].format_map(context)}"
        return Problem(document.place(*loc), why, (field.description or "") if field else "")
    return Problem(document.place(*loc), f"{_label(loc)} is not valid", error["msg"])


def _label(loc: Loc) -> str:
    names = [step for step in loc if isinstance(step, str)]
    if not names:
        return "the file"
    return f"an entry of {show(names[-1])}" if isinstance(loc[-1], int) else show(names[-1])


def _owner(document: Document, loc: Loc) -> str:
    """``lane "app-logs"``, ``destination 2``, ``"audit"``: the thing at ``loc``, as a reader of the file calls it."""
    if not loc:
        return "the policy"
    if not isinstance(loc[-1], int):
        return show(loc[-1])
    kind = {"lanes": "lane", "destinations": "destination", "suppress": "suppression"}.get(str(loc[-2]), "entry")
    name = at(document.value, (*loc, "name"))
    return f"{kind} {show(name)}" if isinstance(name, str) else f"{kind} {loc[-1] + 1}"


def _keys(model: type[BaseModel], loc: Loc) -> tuple[str, ...]:
    """The keys that the mapping at ``loc`` may have."""
    inner = _model(model, loc)
    return tuple(inner.model_fields) if inner is not None else ()


def _field(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    """The field that holds the value at ``loc``; of a list's entry, the list's."""
    while loc and isinstance(loc[-1], int):
        loc = loc[:-1]
    inner = _model(model, loc[:-1])
    return inner.model_fields.get(str(loc[-1])) if inner is not None and loc else None


def _model(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model of the mapping at ``loc``."""
    current: type[BaseModel] | None = model
    for step in loc:
        if current is None or isinstance(step, int):
            continue
        field = current.model_fields.get(step)
        current = _inner(field.annotation) if field is not None else None
    return current


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The model inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, types.UnionType):
        return next((found for part in get_args(annotation) if (found := _inner(part)) is not None), None)
    return None
