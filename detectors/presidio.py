"""The box around Presidio: the one file that imports it.

Its ``AnalyzerEngine`` runs our recognizers and the team's own, without a language model: the no-op NLP engine below
keeps it from fetching one. Decision traces stay off (they log the text). A pattern of the team's that runs out of time
raises here, where Presidio would log a warning and go on as if nothing were there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import regex
import yaml

from detectors.model import (
    CARDHOLDER_NAME,
    EXPIRY,
    PAN,
    PIN_BLOCK,
    SECURITY_CODE,
    TRACK_1,
    TRACK_2,
    Confidence,
    OutOfTime,
)
from detectors.recognizers import Recognized, Recognizer, emv, pan, pin_block, security_code, track
from detectors.without_spacy import without_spacy

with without_spacy():
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import (
        AnalyzerEngine,
        ContextAwareEnhancer,
        EntityRecognizer,
        PatternRecognizer,
        RecognizerRegistry,
        RecognizerResult,
        pattern_recognizer,
    )
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine

_LANGUAGE = "en"
_LOW, _HIGH = 0.4, 1.0
_SURE = 0.5
"""Presidio scores from here on count as ``high``."""
_PATTERN_SECONDS = 2.0

_OURS: tuple[tuple[str, tuple[str, ...], Recognizer], ...] = (
    ("PanRecognizer", (PAN,), pan.recognize),
    ("SecurityCodeRecognizer", (SECURITY_CODE,), security_code.recognize),
    ("TrackRecognizer", (TRACK_1, TRACK_2), track.recognize),
    ("EmvRecognizer", (PAN, TRACK_2), emv.recognize),
    ("PinBlockRecognizer", (PIN_BLOCK,), pin_block.recognize),
)
OUR_ENTITIES: tuple[str, ...] = (PAN, SECURITY_CODE, TRACK_1, TRACK_2, PIN_BLOCK, EXPIRY, CARDHOLDER_NAME)


class RecognizerError(Exception):
    """A file of the team's recognizers cannot be used: which file, which recognizer, and why."""


class _NoNlp(NlpEngine):  # type: ignore[misc]
    """No language model: words are runs of letters, lemmas are the words, and no entity comes from here."""

    def load(self) -> None:
        """There is nothing to load."""

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        words = list(re.finditer(r"\w+", text))
        tokens = [word.group() for word in words]
        return NlpArtifacts([], tokens, [word.start() for word in words], [t.lower() for t in tokens], self, language)

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1, **kwargs: object
    ) -> Iterator[tuple[str, NlpArtifacts]]:
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return [_LANGUAGE]


class _Looked(NlpArtifacts):  # type: ignore[misc]
    """What is known of a text before Presidio's engine runs: here, what each of our recognizers found in it."""

    def __init__(self, found: dict[str, list[Recognized]]) -> None:
        super().__init__([], [], [], [], None, _LANGUAGE)
        self.found = found


class _NoContext(ContextAwareEnhancer):  # type: ignore[misc]
    """Our recognizers read the context themselves; Presidio's own way is to copy every result for each of them."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self, text: str, raw_results: list[RecognizerResult], *_more: object, **_named: object
    ) -> list[RecognizerResult]:
        return raw_results


class _Ours(EntityRecognizer):  # type: ignore[misc]
    """One of our recognizers, as Presidio wants to meet it."""

    def __init__(self, name: str, entities: tuple[str, ...], recognize: Recognizer) -> None:
        self._recognize = recognize
        super().__init__(supported_entities=list(entities), name=name, supported_language=_LANGUAGE)

    def load(self) -> None:
        """There is nothing to load."""

    def look(self, text: str) -> list[Recognized]:
        """What this recognizer finds, before any engine is asked."""
        return list(self._recognize(text))

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        found = nlp_artifacts.found[self.name] if isinstance(nlp_artifacts, _Looked) else self.look(text)
        return [
            RecognizerResult(
                item.entity,
                item.start,
                item.end,
                _HIGH if item.confidence == "high" else _LOW,
                recognition_metadata={
                    RecognizerResult.RECOGNIZER_NAME_KEY: self.name,
                    RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id,
                    "found": item,
                },
            )
            for item in found
        ]


class _Timed:
    """Mixed into a ``PatternRecognizer``: a pattern that runs out of time raises instead of being skipped."""

    patterns: list[Any]
    global_regex_flags: int

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None, regex_flags: int | None = None
    ) -> list[RecognizerResult]:
        logger = logging.getLogger("presidio-analyzer")
        watch = _Watch()
        logger.addFilter(watch)
        try:
            results: list[RecognizerResult] = super().analyze(text, entities, nlp_artifacts, regex_flags)  # type: ignore[misc]
        finally:
            logger.removeFilter(watch)
        if watch.timed_out:
            raise OutOfTime
        return results


class _Watch(logging.Filter):
    """Sees Presidio's warning that a pattern was skipped, and keeps it from the log: it carries a traceback."""

    timed_out = False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            self.timed_out = self.timed_out or "timed out" in str(record.msg)
            return False
        return True


def _engine(recognizers: Sequence[EntityRecognizer], enhancer: ContextAwareEnhancer | None = None) -> AnalyzerEngine:
    registry = RecognizerRegistry(recognizers=list(recognizers), supported_languages=[_LANGUAGE])
    return AnalyzerEngine(
        registry=registry,
        nlp_engine=_NoNlp(),
        supported_languages=[_LANGUAGE],
        context_aware_enhancer=enhancer,
    )


class Presidio:
    """Both sets of recognizers, ready to run. Offsets are characters of the given text."""

    def __init__(self, files: Sequence[Path] = ()) -> None:
        """Raises ``RecognizerError`` for a file that cannot be used."""
        pattern_recognizer.REGEX_TIMEOUT_SECONDS = _PATTERN_SECONDS
        self._recognizers = [_Ours(*row) for row in _OURS]
        self._ours = _engine(self._recognizers, _NoContext())
        self._our_entities = [entity for _, entities, _ in _OURS for entity in entities]
        self._team = [recognizer for file in files for recognizer in _load(file)]
        self._team_engine = _engine(self._team) if self._team else None

    @property
    def team_patterns(self) -> tuple[tuple[str, int], ...]:
        """Expression and ``re`` flags of every pattern of the team's recognizers, for the sieve."""
        return tuple((p.regex, int(r.global_regex_flags)) for r in self._team for p in r.patterns)

    @property
    def team_entities(self) -> tuple[str, ...]:
        return tuple(sorted({entity for r in self._team for entity in r.supported_entities}))

    def ours(self, text: str) -> list[Recognized]:
        """What our recognizers find in ``text``."""
        found = {recognizer.name: recognizer.look(text) for recognizer in self._recognizers}
        things = [thing for one in found.values() for thing in one]
        if len(things) < 2:  # nothing for the engine to settle
            return things
        results = self._ours.analyze(text, _LANGUAGE, entities=self._our_entities, nlp_artifacts=_Looked(found))
        return [result.recognition_metadata["found"] for result in results]

    def team(self, text: str) -> list[Recognized]:
        """What the team's recognizers find in ``text``. Raises ``OutOfTime`` when a pattern takes too long."""
        if self._team_engine is None:
            return []
        found: list[Recognized] = []
        for result in self._team_engine.analyze(text, _LANGUAGE):
            name = result.recognition_metadata[RecognizerResult.RECOGNIZER_NAME_KEY]
            confidence: Confidence = "high" if result.score >= _SURE else "low"
            why = (f"recognizer {name}",)
            found.append(Recognized(result.entity_type, result.start, result.end, confidence, "", why))
        return found


def _load(file: Path) -> list[PatternRecognizer]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecognizerError(f"{file}: cannot be read ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise RecognizerError(f"{file}{where}: is not YAML") from None
    rows = document.get("recognizers") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise RecognizerError(f"{file}: needs a list `recognizers:` (Presidio's recognizer file)")
    return [made for i, row in enumerate(rows) if (made := _recognizer(file, i, row)) is not None]


def _recognizer(file: Path, index: int, row: object) -> PatternRecognizer | None:
    where = f"{file}: recognizer {index + 1}"
    if isinstance(row, str):
        row = {"name": row}
    if not isinstance(row, dict):
        raise RecognizerError(f"{where}: is neither a name nor a mapping")
    where += f" ({row.get('name', 'no name')})"
    if not row.get("enabled", True):
        return None
    kept = {key: value for key, value in row.items() if key not in {"type", "enabled", "supported_languages"}}
    kept["supported_language"] = _LANGUAGE
    try:
        if kept.get("patterns") or kept.get("deny_list"):
            timed = type("TeamRecognizer", (_Timed, PatternRecognizer), {})
            made: PatternRecognizer = timed.from_dict(kept)  # type: ignore[attr-defined]
        else:
            made = _predefined(str(row.get("class_name") or row.get("name")))
        for pattern in made.patterns:
            regex.compile(pattern.regex)
    except RecognizerError as error:
        raise RecognizerError(f"{where}: {error}") from None
    except Exception as error:  # noqa: BLE001 - Presidio raises what it likes
        raise RecognizerError(f"{where}: {type(error).__name__}: {error}") from None
    return made


def _predefined(name: str) -> PatternRecognizer:
    known = getattr(predefined, name, None)
    if known is None or not issubclass(known, PatternRecognizer):
        raise RecognizerError("has no patterns and no deny_list, and is no pattern recognizer of Presidio's")
    made: PatternRecognizer = type(name, (_Timed, known), {})(supported_language=_LANGUAGE)
    return made
