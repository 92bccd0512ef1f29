"""What to do about what was found: the same for the client that was refused and for whoever reads the record later.

An advice is the name of a text (``proxy.texts``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from proxy.gmo import calls as gmo
from proxy.gmo.review import CALLS_TOKEN_ENDPOINT
from proxy.message import Direction
from proxy.metrics.series import gap_reason
from proxy.policy.routes import Role

_GAPS = frozenset({"unlisted-gmo-path", "unreadable-gmo-call", "unlisted-destination", "misdirected"})
"""Gap reasons with an advice of their own. The other reasons say it themselves."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What of a finding an advice depends on."""

    entity: str
    test: bool
    why: Collection[str]


@dataclass(frozen=True, slots=True)
class Case:
    """A message with card data."""

    role: Role
    direction: Direction
    host: str
    path: str
    facts: Sequence[Fact]
    unmended: bool
    """The lane redacts, but here it could not."""


def for_card_data(case: Case) -> list[str]:
    """What to do about the findings, most important first."""
    out: list[str] = []
    if all(fact.entity == "TOKEN" for fact in case.facts):
        out.append("fix.token")
    elif (case.role, case.direction) == ("payment-gateway", "request"):
        out.append(_gateway(case))
    else:
        out.append(f"fix.{case.role}.{case.direction}")
    if case.unmended:
        out.append("fix.unmended")
    if all(fact.test for fact in case.facts):
        out.append("fix.test")
    return out


def for_gaps(reasons: Iterable[str]) -> list[str]:
    """What to do about bytes that could not be inspected."""
    known = dict.fromkeys(gap_reason(reason) for reason in reasons)
    return [f"fix.{reason}" for reason in known if reason in _GAPS] or ["fix.gap"]


def _gateway(case: Case) -> str:
    """The fix of a call to GMO, in the words of the API that was called."""
    place = gmo.endpoint(case.host, case.path)
    is_token = place is not None and place.kind == "token"
    whys = {why for fact in case.facts for why in fact.why}
    if is_token or CALLS_TOKEN_ENDPOINT in whys:
        return "fix.gmo.browser"
    dialect = place.dialect if place is not None and place.dialect in ("json", "openapi") else "form"
    if "token made of digits" in whys:
        return f"fix.gmo.digits.{dialect}"
    if "card number in the place of a reference" in whys:
        return "fix.gmo.reference"
    return f"fix.gmo.raw.{dialect}"
