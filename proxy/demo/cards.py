"""The cards the demo plays with: numbers that providers publish for testing, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Card:
    """A published test card. ``repr`` shows it masked."""

    number: str
    expire: str
    """YYMM."""
    code: str
    holder: str

    def __repr__(self) -> str:
        return f"Card({masked(self.number)})"


VISA = Card("4111111111111111", "3012", "837", "TARO YAMADA")
MASTERCARD = Card("5555555555554444", "3011", "642", "HANAKO SATO")
JCB = Card("3530111333300000", "2910", "519", "KENJI MORI")
AMEX = Card("378282246310005", "3101", "7193", "YUI TANAKA")
GMO_ONLY = Card("5111111111111111", "3012", "426", "GMO TEST")
"""A number of GMO's test environment that fails its check digit: only the parameter's name gives it away."""
CHALLENGED = Card("4100000000005000", "3012", "958", "ROKI TESTER")
"""The issuer asks for a 3-D Secure challenge."""

CARDS = (VISA, MASTERCARD, JCB, AMEX, GMO_ONLY, CHALLENGED)


def masked(number: str) -> str:
    """``number`` as it may be shown: first six, last four."""
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
