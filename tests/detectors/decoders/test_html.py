import html as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.html import peel
from tests.detectors.decoders.peeling import MASKED, ask, few, located, numbers, peels, put


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"&#52;&#49;&#49;1", b"4111"),
        (b"&#x34;&#X31;", b"41"),
        (b"&#00000000052;&#x0034", b"44"),
        (b"&#52&#49", b"41"),
        (b"4111&nbsp;1111&ndash;1", "4111\u00a01111–1".encode()),
        (b"a &amp; b &lt;c&gt;", b"a & b <c>"),
        (b"&copy &unknown; &#52;", "© &unknown; 4".encode()),
        (b"&#xd800;&#0;&#x110000;", "\ufffd\ufffd\ufffd".encode()),
        (b"&#" + b"9" * 300 + b";", "\ufffd".encode()),
        (b"&#x1;a&#52;", b"a4"),
    ],
)
def test_decodes(data, decoded):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data) == ("html", decoded)


@pytest.mark.parametrize("data", [b"", b"a & b", b"&;", b"&#;", b"&#x;", b"?a=1&b=2", b"&zzz;"])
def test_text_without_a_reference_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_each_reference_is_located():
    data = b"<b>&#52;&#49;&#x31;1</b>&eacute;"
    (child,) = peels(peel(data, ask()))
    assert located(data, child, b"4") == b"&#52;"
    assert located(data, child, b"111") == b"&#49;&#x31;1"
    assert located(data, child, "é".encode()) == b"&eacute;"


def test_replacement_text_cannot_become_markup():
    data = b"<b>&#52;</b>"
    (child,) = peels(peel(data, ask()))
    assert put(data, child, b"4", b"<a href='&\">") == b"<b>&lt;a href=&#39;&amp;&quot;&gt;</b>"


@few
@given(
    before=st.text(alphabet="aé&<>\"' カ😀"),
    number=numbers,
    after=st.text(alphabet="aé&<>\"' カ😀"),
    hexadecimal=st.booleans(),
)
def test_round_trip(before, number, after, hexadecimal):
    spelled = "".join(f"&#x{ord(d):x};" if hexadecimal else f"&#{ord(d)};" for d in number)
    data = (standard.escape(before) + spelled + standard.escape(after)).encode()
    (child,) = peels(peel(data, ask()))
    assert child.data.decode() == before + number + after
    changed = put(data, child, number.encode(), MASKED.encode())
    assert standard.unescape(changed.decode()) == before + MASKED + after
