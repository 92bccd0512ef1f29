"""What is in these bytes? Card numbers, security codes and track data, found through their encodings.

The door of the package; ``Inspector`` is the one thing to build. Nothing here does I/O, but for reading the team's
recognizer files when an ``Inspector`` is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.model import Finding, Gap, Inspection, Limits

if TYPE_CHECKING:
    from detectors.inspector import Inspector

__all__ = ["Finding", "Gap", "Inspection", "Inspector", "Limits"]


def __getattr__(name: str) -> object:
    """``Inspector`` loads Presidio and Hyperscan, so it is imported when first asked for."""
    if name == "Inspector":
        from detectors.inspector import Inspector  # noqa: PLC0415 - seconds of imports, when needed

        return Inspector
    raise AttributeError(name)
