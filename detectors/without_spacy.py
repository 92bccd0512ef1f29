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
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_LEFT_OUT = ("spacy", "thinc")
"""spaCy, and the library of models under it."""


class _Makers(type):
    """Of a class whose every other attribute makes a decorator: what it decorates stays as it is."""

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_args, **_more: lambda decorated: decorated


class _Anything(metaclass=_Makers):
    """A class that may be subclassed, called, decorated with, and named in annotations."""

    def __init__(self, *_args: object, **_more: object) -> None:
        pass

    def __class_getitem__(cls, _item: object) -> type[_Anything]:
        return cls


class _StandIn(ModuleType):
    """One module of spaCy: whatever is asked of it is there while Presidio is imported."""

    open = True

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.open:
            raise ImportError(f"{self.__name__} was left out: import it before `detectors`")
        return _Anything


class _Finder(MetaPathFinder, Loader):
    """Finds a stand-in for each module of theirs."""

    def __init__(self) -> None:
        self.made: dict[str, _StandIn] = {}

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """A specification for what is theirs; ``None`` for anything else."""
        return ModuleSpec(fullname, self, is_package=True) if fullname.partition(".")[0] in _LEFT_OUT else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in."""
        return self.made.setdefault(spec.name, _StandIn(spec.name))

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


@contextmanager
def without_spacy() -> Iterator[None]:
    """Within it, ``import spacy`` gives a stand-in, unless it or Presidio has been imported before."""
    if "spacy" in sys.modules or "presidio_analyzer" in sys.modules:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in finder.made.items():
            module.open = False
            if sys.modules.get(name) is module:
                del sys.modules[name]
