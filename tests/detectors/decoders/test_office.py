import pytest

from detectors.decoders.office import PART, peel
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, peels, put

JOINED = {
    "docx runs": b"<w:p><w:r><w:t>4111</w:t></w:r><w:r><w:rPr><w:b/></w:rPr><w:t>111111111111</w:t></w:r></w:p>",
    "shared strings": b"<si><r><t>41111111</t></r><r><rPr><b/></rPr><t>11111111</t></r></si>",
    "slides": b'<a:p><a:r><a:rPr lang="ja"/><a:t>411111111111</a:t></a:r>\n <a:r><a:t>1111</a:t></a:r></a:p>',
    "open document": b'<text:p>4111<text:span text:style-name="T1">1111</text:span>11111111</text:p>',
    "proofing marks": b'<w:t>4</w:t></w:r><w:proofErr w:type="spellStart"/><w:r><w:t>111111111111111</w:t>',
}


@pytest.mark.parametrize("name", JOINED)
def test_a_number_in_runs_is_one_number(name):
    data = JOINED[name]
    (child,) = peels(peel(data, ask(PART)))
    assert (child.codec, child.content_type) == ("office", "application/xml")
    assert NUMBER.encode() in child.data
    changed = put(data, child, NUMBER.encode(), MASKED.encode())
    assert MASKED.encode() in changed
    assert b"1111</" not in changed.replace(MASKED.encode(), b"")


@pytest.mark.parametrize(
    "data",
    [
        b"<si><t>4111</t></si><si><t>1111</t></si>",
        b'<row><c r="A1"><v>4111</v></c><c r="B1"><v>1111</v></c></row>',
        b"<w:p><w:r><w:t>4111</w:t></w:r></w:p><w:p><w:r><w:t>1111</w:t></w:r></w:p>",
        b"<w:t>4111</w:t><w:br/><w:t>1111</w:t>",
        b"<w:t>4111</w:t><w:tab/><w:t>1111</w:t>",
        b"<table:table-cell><text:p>4</text:p></table:table-cell><table:table-cell><text:p>1</text:p></table:table-cell>",
        b"<w:t>4111</w:t> and <w:t>1111</w:t>",
        b"<w:t>plain</w:t><w:t>text</w:t>",
    ],
)  # fmt: skip
def test_cells_and_paragraphs_stay_apart(data):
    assert peels(peel(data, ask(PART))) == []


def test_separators_may_stand_on_either_side_of_the_cut():
    (child,) = peels(peel(b"<w:t>4111 </w:t></w:r><w:r><w:t>1111 11</w:t></w:r><w:r><w:t>11-1111</w:t>", ask(PART)))
    assert b"4111 1111 1111-1111" in child.data


def test_other_documents_are_left_alone():
    assert peels(peel(JOINED["docx runs"], ask("text/xml"))) == []


def test_what_is_put_in_is_escaped():
    data = JOINED["shared strings"]
    (child,) = peels(peel(data, ask(PART)))
    assert b"a&lt;b&amp;c" in put(data, child, NUMBER.encode(), b"a<b&c")
