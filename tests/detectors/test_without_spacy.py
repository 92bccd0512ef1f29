from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detectors.without_spacy import without_spacy

ROOT = Path(__file__).resolve().parents[2]
ALONE = """
import sys
from detectors.presidio import Presidio
assert not any(name.split(".")[0] in ("spacy", "thinc") for name in sys.modules)
assert [found.entity for found in Presidio().ours("cardNo: 4111 1111 1111 1111")] == ["PAN"]
import presidio_analyzer.nlp_engine.spacy_nlp_engine as engine
try:
    engine.spacy.load
except ImportError as error:
    assert "import it before" in str(error)
else:
    raise AssertionError
import spacy
assert spacy.tokens.Doc(spacy.blank("en").vocab, words=["a"]).text == "a "
"""
AFTER = """
import spacy
from detectors.presidio import Presidio
from presidio_analyzer.nlp_engine import spacy_nlp_engine
assert spacy_nlp_engine.spacy is spacy
assert [found.entity for found in Presidio().ours("cardNo: 4111 1111 1111 1111")] == ["PAN"]
"""


@pytest.mark.parametrize("script", [ALONE, AFTER], ids=["alone", "after spaCy"])
def test_presidio_runs_without_spacy_and_spacy_stays_whole(script):
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=280)


def test_stand_ins_are_gone_afterwards(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] in ("spacy", "presidio_analyzer")]:
        monkeypatch.delitem(sys.modules, name)
    with without_spacy():
        from spacy.tokens import Doc
        from spacy.util import registry

        assert Doc("any", words=[]) is not None
        assert registry.tokenizers("name.v1")(len) is len
        with pytest.raises(AttributeError):
            _ = sys.modules["spacy"].__wrapped__
    assert "spacy" not in sys.modules
