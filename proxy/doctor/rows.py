"""What an examination says of one thing: how it stands, what was seen, and what to type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from proxy.policy.errors import scrub

State = Literal["ok", "warning", "broken", "skipped"]


@dataclass(frozen=True, slots=True)
class Row:
    """One finding. Long runs of digits are hidden in it: whoever pastes it into a ticket pastes no card number."""

    check: str
    about: str
    """Which lane, host, file or runtime; "" where there is one only."""
    state: State
    seen: str
    fix: str = ""
    """What to type, or to do. Of each warning and of everything broken."""

    @property
    def name(self) -> str:
        return f"{self.check} {self.about}".rstrip()


@dataclass(frozen=True, slots=True)
class Subject:
    """What is looked at; makes its rows."""

    check: str
    about: str = field(default="")

    def ok(self, seen: str) -> Row:
        return self._row("ok", seen)

    def skipped(self, why: str) -> Row:
        return self._row("skipped", why)

    def warning(self, seen: str, fix: str) -> Row:
        return self._row("warning", seen, fix)

    def broken(self, seen: str, fix: str) -> Row:
        return self._row("broken", seen, fix)

    def _row(self, state: State, seen: str, fix: str = "") -> Row:
        return Row(self.check, _plain(self.about), state, _plain(seen), _plain(fix))


def _plain(text: str) -> str:
    """In one line and without commands to a terminal: names in a stranger's certificate may be anything."""
    shown = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in scrub(text))
    return "".join(shown)
