"""What one writes first: a mitmproxy addon that asks Presidio about each body. Loaded by ``mitmdump -s``.

It is given every advantage: one entity only, no language model, one engine for the life of the process.
"""

from __future__ import annotations

from mitmproxy import http
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
from presidio_analyzer.predefined_recognizers import CreditCardRecognizer


class NoLanguageModel(NlpEngine):
    """Answers that there are no words, at once."""

    def load(self) -> None: ...

    def is_loaded(self) -> bool:
        return True

    def process_text(self, text: str, language: str) -> NlpArtifacts:
        return NlpArtifacts([], [], [], [], self, language)

    def process_batch(self, texts, language, **_):  # noqa: ANN001, ANN003, ANN201
        return ((text, self.process_text(text, language)) for text in texts)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return ["en"]


class Ask:
    """Refuses a request, and replaces a response, in which the engine finds a card number."""

    def __init__(self) -> None:
        registry = RecognizerRegistry(recognizers=[CreditCardRecognizer()])
        self.engine = AnalyzerEngine(registry=registry, nlp_engine=NoLanguageModel())

    def found(self, message: http.Message) -> bool:
        text = message.get_text(strict=False) or ""
        return bool(self.engine.analyze(text, entities=["CREDIT_CARD"], language="en"))

    def request(self, flow: http.HTTPFlow) -> None:
        if self.found(flow.request):
            flow.response = http.Response.make(403)

    def response(self, flow: http.HTTPFlow) -> None:
        if flow.response and self.found(flow.response):
            flow.response = http.Response.make(403)


addons = [Ask()]
