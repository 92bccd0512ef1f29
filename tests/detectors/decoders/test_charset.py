import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.charset import charset_of, codec_for, peel, peel_charset, sniff
from detectors.model import Gap
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, holding, located, numbers, peels, put

JAPANESE = "カード番号：４１１１−ｶﾅ é"


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("", ""), ("text/plain", ""), ("text/plain; charset=Shift_JIS", "Shift_JIS"), ('a/b; CHARSET = "utf-16"; x=y', "utf-16"),
        ("a/b;charset=euc-jp;x", "euc-jp"),
    ],
)  # fmt: skip
def test_parameter(content_type, charset):
    assert charset_of(content_type) == charset


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("UTF-8", "utf-8"), (" 'utf8' ", "utf-8"), ("us-ascii", "ascii"), ("Shift_JIS", "cp932"), ("windows-31j", "cp932"),
        ("x-sjis", "cp932"), ("cp932", "cp932"), ("EUC-JP", "euc_jp"), ("iso-2022-jp", "iso2022_jp"), ("utf-16le", "utf-16-le"),
        ("utf-16", "utf-16"), ("ucs-2", "utf-16"), ("utf-32be", "utf-32-be"), ("iso-8859-1", "iso8859-1"), ("ibm037", "cp037"),
        ("rot13", None), ("zlib", None), ("idna", None), ("unicode_escape", None), ("undefined", None), ("none such", None),
        ("a\0b", None),
    ],
)  # fmt: skip
def test_labels(label, codec):
    assert codec_for(label) == codec


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("Shift_JIS", "cp932", "カード 4111 ４１ｶﾅ§①"),
        ("EUC-JP", "euc_jp", "カード 4111 ４１ｶﾅ§"),
        ("euc-jp", "euc_jp", "丂 4111"),
        ("iso-8859-1", "latin-1", "4111\u00a01111 é"),
        ("windows-1252", "cp1252", "4111–1111 €"),
        ("ibm037", "cp037", "card 4111"),
        ("koi8-r", "koi8-r", "карта 4111"),
        ("utf-16", "utf-16-be", "card 4111"),
    ],
)
def test_each_byte_is_located(charset, codec, text):
    data = text.encode(codec)
    child, *_ = peels(peel_charset(data, charset, ask()))
    assert child.data.decode() == text
    at = 0
    for letter in text:
        size = len(letter.encode())
        start, end = child.hook.locate(at, at + size)
        assert data[start:end] == letter.encode(codec)
        at += size


@pytest.mark.parametrize(
    ("data", "charset"),
    [
        (b"card 4111", "shift_jis"), (b"card 4111", "euc-jp"), (b"card 4111", "iso-2022-jp"), (b"card 4111", "latin-1"),
        (JAPANESE.encode(), "utf-8"), (JAPANESE.encode(), ""), (b"card 4111", ""), (b"", "utf-16"), (b"\xef\xbb\xbfabc", ""),
        (b"card 4111", "gb18030"), (bytes(20), ""),
    ],
)  # fmt: skip
def test_bytes_that_read_the_same_give_nothing(data, charset):
    assert list(peel_charset(data, charset, ask())) == []


@pytest.mark.parametrize("charset", ["none-such", "rot13", "unicode_escape"])
def test_an_unknown_charset_is_a_gap(charset):
    assert list(peel_charset(b"card", charset, ask())) == [Gap("unknown-charset", 0, 4)]


def test_under_an_unknown_charset_the_bytes_are_still_asked():
    gap, child = peel_charset(NUMBER.encode("utf-16"), "none-such", ask())
    assert (gap.reason, child.codec, child.data) == ("unknown-charset", "utf-16", NUMBER.encode())


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        (NUMBER.encode("utf-16-le"), "utf-16-le"),
        (("\ufeff" + JAPANESE).encode("utf-16-be"), "utf-16-be"),
        (NUMBER.encode("utf-32-be"), "utf-32-be"),
        ("カード番号 4111".encode("cp932"), "cp932"),
        ("カード番号 4111".encode("euc_jp"), "euc_jp"),
        ("カード番号 4111".encode("iso2022_jp"), "iso2022_jp"),
        ("４１１１１１１".encode("cp932") + b"\xff\xfe", "cp932"),
        ("４１１１１１１".encode("euc_jp") + b"\xff\x81", "euc_jp"),
        (b"caf\xe9", ""),
        (JAPANESE.encode(), ""),
    ],
)
def test_undeclared_charsets(data, codec):
    assert sniff(data) == codec


@pytest.mark.parametrize("charset", ["", "utf-8", "us-ascii", "iso-8859-1", "shift_jis", "none-such"])
def test_utf16_is_read_whatever_the_label_says(charset):
    data = f"card {NUMBER}".encode("utf-16-le")
    children = [item for item in peel_charset(data, charset, ask()) if not isinstance(item, Gap)]
    assert [child.data.decode() for child in children] == [f"card {NUMBER}"]


def test_a_mark_wins_over_the_byte_order_of_the_label():
    (child,) = peels(peel_charset(b"\xff\xfe" + NUMBER.encode("utf-16-le"), "utf-16be", ask()))
    assert child.data == NUMBER.encode()


def test_utf16_in_the_middle_of_bytes():
    data = b"\x00\x01\x02\xff" * 40 + b"x" + NUMBER.encode("utf-16-le")
    assert holding(peel_charset(data, "", ask()), NUMBER.encode()).data == NUMBER.encode()


def test_utf16_that_changes_its_alignment():
    data = "a long text in ASCII, before ".encode("utf-16-le") + b"\xff" + NUMBER.encode("utf-16-le")
    child = holding(peel_charset(data, "", ask()), NUMBER.encode())
    assert put(data, child, NUMBER.encode(), b"*") == data[: -len(NUMBER) * 2] + "*".encode("utf-16-le")


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("shift_jis", b"41\x82\x4f\xff\xfd1\x82", "41０"),
        ("shift_jis", b"\x81\xad\x81\xad4111", "4111"),
        ("euc-jp", b"41\xa3\xb0\xff1\x8f\xa1", "41０"),
        ("euc-jp", b"\xa9\xa1\xa9\xa14111\x8f\xff", "4111"),
    ],
)
def test_a_bad_byte_hides_nothing(charset, data, text):
    child, *_ = peels(peel_charset(data, charset, ask()))
    assert text in child.data.decode()
    assert child.hook.locate(0, len(child.data)) == (0, len(data))
    if "4111" in text:
        assert located(data, child, b"4111") == b"4111"


def test_a_charset_with_shifts_is_put_back_whole_or_not_at_all():
    data = "é +4111".encode("utf-7")
    child, *_ = peels(peel_charset(data, "utf-7", ask()))
    assert child.data.decode() == "é +4111"
    assert put(data, child, b"4111", b"****").decode("utf-7") == "é +****"
    odd = b"+ADQ-111"
    child, *_ = peels(peel_charset(odd, "utf-7", ask()))
    assert child.data == b"4111"
    assert put(odd, child, b"4111", b"****") is None


@pytest.mark.parametrize("charset", ["utf-16", "utf-16be", "utf-32", "ibm037", "utf-7", "hz"])
def test_a_reader_that_ignores_the_label_sees_the_bytes(charset):
    data = b"card=" + NUMBER.encode()
    *_, raw = peels(peel_charset(data, charset, ask()))
    assert (raw.codec, raw.data, raw.hook.locate(5, 21)) == ("", data, (5, 21))


def test_the_content_type_declares():
    (child,) = peels(peel("カ".encode("cp932"), ask("text/plain; charset=Windows-31J")))
    assert (child.codec, child.data) == ("cp932", "カ".encode())


@few
@given(
    st.sampled_from(["cp932", "euc_jp", "iso2022_jp", "utf-16", "utf-32", "cp037", "gb18030", "big5"]),
    st.text(alphabet="abc カード番号é４ｶ。", max_size=20),
    numbers,
    st.text(alphabet="abc カード番号４。", max_size=20),
)
def test_round_trip(codec, before, number, after):
    text = (f"{before}番[{number}]{after}").encode(codec, "ignore").decode(codec)
    data = text.encode(codec)
    child, *_ = peels(peel_charset(data, codec, ask()))
    assert child.data.decode() == text
    changed = put(data, child, f"[{number}]".encode(), f"[{MASKED}]".encode())
    assert changed.decode(codec) == text.replace(f"[{number}]", f"[{MASKED}]")


@pytest.mark.parametrize(
    ("content_type", "label"),
    [
        ("text/plain; charset=Shift_JIS", "Shift_JIS"),
        ('text/plain; charset="utf-8"; x=1', "utf-8"),
        ("text/plain; x-charset=utf-8; charset=ibm037", "ibm037"),
        ('text/plain; a="; charset=utf-8"; charset=ibm037', "ibm037"),
        ("text/plain; charset*=utf-8''ibm037", "ibm037"),
        ("text/plain; charset=utf-8; charset=UTF8", "utf-8"),
        ("text/plain; charset=utf-8; charset=ibm037", "utf-8|ibm037"),
        ("text/plain; charset=utf-8, text/plain; charset=ibm037", "utf-8|ibm037"),
        ("text/plain", ""),
    ],
)
def test_the_charset_of_a_media_type(content_type, label):
    assert charset_of(content_type) == label


FULL = NUMBER.translate({48 + d: 0xFF10 + d for d in range(10)})


@pytest.mark.parametrize("label", ["", "utf-8", "shift_jis", "euc-jp", "iso-8859-1", "windows-1252", "us-ascii"])
@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be"])
def test_a_wrong_label_hides_nothing(inspector, codec, label):
    kind = f"text/plain; charset={label}" if label else "text/plain"
    for number in (FULL, NUMBER):
        body = f"カード番号 {number}".encode(codec)
        assert not inspector.quiet(body, kind)
        (finding,) = inspector.inspect(body, kind).findings
        if codec != "iso2022_jp":
            assert body[finding.start : finding.end] == number.encode(codec)
    body = '{"セキュリティコード": "123"}'.encode(codec)
    kind = kind.replace("text/plain", "application/json")
    (finding,) = inspector.inspect(body, kind).findings
    assert (finding.path, body[finding.start : finding.end]) == ("$.セキュリティコード", "123".encode(codec))


@pytest.mark.parametrize("label", ["", "shift_jis", "euc-jp", "utf-8"])
@pytest.mark.parametrize("codec", ["cp932", "euc_jp", "utf-8"])
@pytest.mark.parametrize("first", ["cp932", "euc_jp", "utf-8"])
def test_several_charsets_in_one_body(inspector, first, codec, label):
    body = "ご注文の番号テスト\n".encode(first) + f"番号 {FULL}".encode(codec)
    kind = f"text/plain; charset={label}" if label else "text/plain"
    (finding,) = inspector.inspect(body, kind).findings
    assert body[finding.start : finding.end] == FULL.encode(codec)
    assert not inspector.quiet(body, kind)


@pytest.mark.parametrize("around", ["", "テスト "])
@pytest.mark.parametrize("escape", [b"\x1b(B", b"\x1b(J", b"\x1b$B\x1b(B", b"\x1b(I\x1b(B"])
@pytest.mark.parametrize("label", ["", "; charset=utf-8", "; charset=iso-2022-jp", "; charset=shift_jis"])
def test_escape_sequences_in_the_midst_of_a_number(inspector, escape, label, around):
    body = around.encode("utf-8") + escape.join((b"4111", b"11111111", b"1111"))
    kind = f"text/plain{label}"
    (finding,) = inspector.inspect(body, kind).findings
    assert finding.end == len(body)
    assert not inspector.quiet(body, kind)
    out = redact(body, [finding], "mask")
    assert out is not None
    assert inspector.inspect(out, kind).findings == ()


@pytest.mark.parametrize("switch", [b"$B", b"$@", b"$(D", b"$A", b"$(C", b"$(O", b"$(Q"])
def test_full_width_digits_of_every_set(inspector, switch):
    body = b"\x1b" + switch + b"#4" + b"#1" * 15 + b"\x1b(B"
    assert not inspector.quiet(body)
    assert len(inspector.inspect(body).findings) == (switch != b"$(D")


def test_charsets_that_contradict_each_other_are_a_gap(inspector):
    number = "4242424242424242".encode("cp037")
    for content_type in (
        "text/plain; charset=utf-8; charset=ibm037",
        "text/plain; charset=utf-8, text/plain; charset=ibm037",
    ):
        assert not inspector.quiet(number, content_type)
        assert "unknown-charset" in [gap.reason for gap in inspector.inspect(number, content_type).gaps]


def test_xml_says_its_own_encoding(inspector):
    ebcdic = '<?xml version="1.0" encoding="IBM037"?><card>4242424242424242</card>'.encode("cp037")
    assert not inspector.quiet(ebcdic)
    assert [f.entity for f in inspector.inspect(ebcdic).findings] == ["PAN"]
    seven = b'<?xml version="1.0" encoding="utf-7"?><card>+ADQAMgA0ADIANAAyADQAMgA0ADIANAAyADQAMgA0ADI-</card>'
    assert not inspector.quiet(seven)
    assert [f.entity for f in inspector.inspect(seven).findings] == ["PAN"]
