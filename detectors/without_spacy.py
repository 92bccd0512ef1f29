"""Importing Presidio without spaCy.

Presidio imports spaCy for engines of its own that Sekisho has no use for: a second of every start and 50 MB of every
process. While Presidio is imported, stand-ins take spaCy's place; afterwards they are gone, and an import gives spaCy.
Limits: Presidio's spaCy, Stanza and transformers engines do not work in this process, unless it has imported spaCy or
Presidio before. Sekisho gives its analyzer an engine that needs no model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_NAMES = ("spacy", "spacy.language", "spacy.tokens", "spacy.util")


class _Anything:
    """A class that may be subclassed, called, decorated with, and named in annotations."""

    def __init__(self, *_args: object, **_more: object) -> None:
        pass

    def __class_getitem__(cls, _item: object) -> type[_Anything]:
        return cls


class _Registry:
    """spaCy's registry, whose every attribute makes a decorator: the function stays as it is."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_names: lambda function: function


class _StandIn(ModuleType):
    """One module of spaCy: whatever is asked of it is there while Presidio is imported."""

    open = True

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.open:
            raise ImportError(f"{self.__name__} was left out: import it before `detectors`")
        return _Registry() if name == "registry" else _Anything


@contextmanager
def without_spacy() -> Iterator[None]:
    """Within it, ``import spacy`` gives a stand-in, unless it or Presidio has been imported before."""
    if "spacy" in sys.modules or "presidio_analyzer" in sys.modules:
        yield
        return
    modules = {name: _StandIn(name) for name in _NAMES}
    for module in modules.values():
        module.__path__ = []
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in modules.items():
            module.open = False
            if sys.modules.get(name) is module:
                del sys.modules[name]
