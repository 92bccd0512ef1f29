"""The policy of a Sekisho: read, checked and frozen. This is the door to it; its rooms are beside this file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from proxy.keyfile import read_key, regular
from proxy.policy.errors import START, PolicyError, Problem
from proxy.policy.explain import problems
from proxy.policy.files import unusable_files
from proxy.policy.model import Admin, Destination, Lane, Policy, Suppression
from proxy.policy.routes import Role, Route
from proxy.policy.rules import Clash, Parts, clashes
from proxy.policy.text import MAX_BYTES, Document, at, read
from proxy.policy.values import LANE_NAME

__all__ = [
    "Destination",
    "Lane",
    "Policy",
    "PolicyError",
    "Role",
    "Route",
    "Suppression",
    "load",
    "read_key",
    "read_policy",
    "schema",
]


def read_policy(path: Path) -> bytes:
    """What the policy file holds. Raises ``PolicyError``. Only under /dev (``/dev/stdin``, ``<(…)``) may it be a pipe:
    elsewhere nobody may ever write to it, and a reload would stand still."""
    try:
        with open(path, "rb", opener=None if _may_be_a_pipe(path) else regular) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        why = f"the policy cannot be read: {error.strerror or type(error).__name__}"
        raise PolicyError(path, [Problem(START, why, "name a policy file")]) from None


def _may_be_a_pipe(path: Path) -> bool:
    return path.is_relative_to("/dev")


def load(path: Path, data: bytes | None = None) -> Policy:
    """The policy in the file at ``path``, or in ``data``, which was read from there before. Paths in it are taken from
    the directory it is in; from the working directory, if it comes from a pipe.

    Raises ``PolicyError`` with everything that is wrong with it, including files it names that cannot be used.
    """
    data = read_policy(path) if data is None else data
    document = read(data)
    if document.value is None:
        raise PolicyError(path, document.problems or [Problem(START, "the file is empty", 'start with "version: 1"')])
    base = Path.cwd() if _may_be_a_pipe(path) else path.parent.absolute()
    context = {
        "base": base,
        "path": path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "place": document.place,
    }
    policy, found = _validated(document, context)
    found += [Problem(*_said(clash, document)) for clash in clashes(_parts(document, policy, context))]
    found += unusable_files(document, base)
    if policy is None or found or document.problems:
        raise PolicyError(path, [*document.problems, *found])
    return policy


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of the policy file, for editors."""
    made = Policy.model_json_schema()
    _drop_null(made)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Sekisho policy"}


def _drop_null(node: Any) -> None:
    """A key is left out or has a value: the file does not know null, so neither does its schema."""
    if isinstance(node, dict):
        if node.get("default", ...) is None:
            del node["default"]
        if isinstance(node.get("default"), dict):
            node["default"] = {name: value for name, value in node["default"].items() if value is not None}
        choices = node.get("anyOf")
        if isinstance(choices, list) and {"type": "null"} in choices:
            kept = [choice for choice in choices if choice != {"type": "null"}]
            del node["anyOf"]
            node.update(kept[0] if len(kept) == 1 else {"anyOf": kept})
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _drop_null(inner)


def _validated(document: Document, context: dict[str, Any]) -> tuple[Policy | None, list[Problem]]:
    """The policy, or why there is none. The error itself, which knows the file's values, goes no further."""
    try:
        return Policy.model_validate(document.value, context=context), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    return None, list(problems(errors, document, Policy))


def _parts(document: Document, policy: Policy | None, context: dict[str, Any]) -> Parts:
    """The whole policy's parts, or those that can be read of a file with errors."""
    if policy is not None:
        return Parts.of(policy)

    def each[Part: BaseModel](name: str, model: type[Part]) -> dict[int, Part]:
        rows = at(document.value, (name,))
        made = {i: _made(model, row, context) for i, row in enumerate(rows if isinstance(rows, tuple) else ())}
        return {index: part for index, part in made.items() if part is not None}

    rows = at(document.value, ("lanes",))
    names = [at(row, ("name",)) for row in (rows if isinstance(rows, tuple) else ())]
    written = at(document.value, ("admin",))
    return Parts(
        lanes=each("lanes", Lane),
        suppress=each("suppress", Suppression),
        admin=_made(Admin, {} if written is None else written, context),
        lane_names=frozenset(name for name in names if isinstance(name, str) and LANE_NAME.fullmatch(name)),
        own_recognizers=bool(at(document.value, ("recognizers",))),
        mode=at(document.value, ("mode",)),
    )


def _made[Part: BaseModel](model: type[Part], value: object, context: dict[str, Any]) -> Part | None:
    try:
        return model.model_validate(value, context=context)
    except ValidationError:
        return None


def _said(clash: Clash, document: Document) -> tuple[Any, str, str]:
    mark = document.key(*clash.loc) if clash.on_key else document.place(*clash.loc)
    return mark, clash.why, clash.hint
