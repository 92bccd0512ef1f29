"""Which of a view's many values are worth a view of their own, told by one pass of the sieve over all of them.

Around a card number nearly every value is asked for, and nearly none holds anything: a look at each costs twenty times
what it costs to read them together, each behind its name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from detectors.budget import Purse
from detectors.decoders.survey import spelled
from detectors.model import Plain, View
from detectors.sieve import Prefilter, Sieve
from detectors.views import is_bland, path_in

_INDEX = re.compile(r"\[[0-9]+\]")
_REMEMBERED = 1024


class Together:
    """See ``detectors.model.Sift``: says of each value what ``detectors.walk.Walk`` would find out by visiting it."""

    def __init__(self, view: View, sieve: Sieve, team: Prefilter, purse: Purse) -> None:
        self._view = view
        self._sieve = sieve
        self._team = team
        self._purse = purse
        self._labels: dict[tuple[str, str], bytes] = {}
        self._names: set[bytes] = set()
        self.passed: list[tuple[int, int]] = []
        """Spans of those in which there is nothing."""

    def worth(self, values: Sequence[Plain]) -> Sequence[bool]:
        self._purse.check_time()
        whole = self._view.data
        texts = [self._label(value.path, value.key) + whole[value.start : value.end] for value in values]
        found = self._sieve.pointed(texts)
        return [self._holds(text, value, n in found) for n, (text, value) in enumerate(zip(texts, values, strict=True))]

    def knows(self, start: int, end: int) -> bool:
        known = self._view.data[start:end] in self._names
        if known:
            self.passed.append((start, end))
        return known

    def _holds(self, text: bytes, value: Plain, pointed: bool) -> bool:
        """A name between others looks like a column's, so it is asked about by itself, once."""
        data = self._view.data[value.start : value.end]
        if pointed and not value.key:
            pointed = self._sieve.scan(text) is not None
        if pointed or not is_bland(data) or self._team.hits(data) is not None:
            return True
        self.passed.append((value.start, value.end))
        if not value.key and len(self._names) < _REMEMBERED:
            self._names.add(data)
        return False

    def _label(self, path: str, key: str) -> bytes:
        """As ``detectors.views.label_of`` of the value's view. An index says nothing to it."""
        if not key:
            return b""
        place = _INDEX.sub("[]", path), key
        label = self._labels.get(place)
        if label is None:
            label = spelled(path_in(self._view, path), key)
            if len(self._labels) < _REMEMBERED:
                self._labels[place] = label
        return label
