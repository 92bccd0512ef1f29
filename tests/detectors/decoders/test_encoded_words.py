import base64
import email.header
import email.message
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.encoded_words import escape, peel
from detectors.redaction import redact
from tests.detectors.decoders.peeling import MASKED, NUMBER, ask, few, located, numbers, peels, put

FULL = NUMBER.translate({48 + digit: 0xFF10 + digit for digit in range(10)})


def decoded(header):
    return "".join(
        text.decode(charset or "ascii") if isinstance(text, bytes) else text
        for text, charset in email.header.decode_header(header.decode("ascii"))
    )


@pytest.mark.parametrize(
    ("data", "text", "content_type"),
    [
        (b"=?utf-8?B?NDExMQ==?=", b"4111", "text/plain; charset=utf-8"),
        (b"=?UTF-8?q?=34=311_1?=", b"411 1", "text/plain; charset=UTF-8"),
        (b"=?us-ascii*en?Q?4111?=", b"4111", "text/plain; charset=us-ascii"),
        (b"=?klingon?Q?4111?=", b"4111", ""),
        (b"x =?utf-8?Q?41?= =?utf-8?Q?11?= y", b"4111", "text/plain; charset=utf-8"),
        (b"=?utf-8?B?NDE=?=\r\n =?utf-8?B?MTE=?=", b"4111", "text/plain; charset=utf-8"),
    ],
)
def test_decodes(data, text, content_type):
    (child,) = peels(peel(data, ask()))
    assert (child.codec, child.data, child.content_type) == ("encoded-word", text, content_type)


def test_words_apart_are_two():
    assert [child.data for child in peels(peel(b"=?utf-8?Q?41?= and =?utf-8?Q?11?= =?utf-8?B?MTE=?=", ask()))] == [
        b"41",
        b"11",
        b"11",
    ]


@pytest.mark.parametrize("data", [b"", b"a =? b", b"=?utf-8?X?aa?=", b"=?utf-8?Q?a", b"?utf-8?Q?a?="])
def test_other_text_gives_nothing(data):
    assert peels(peel(data, ask())) == []


def test_only_what_the_hits_ask_for():
    data = b"=?utf-8?Q?a?=" + b"." * 200 + b"=?utf-8?Q?b?="
    assert [child.data for child in peels(peel(data, ask("", 10)))] == [b"a"]


def test_a_quoted_word_keeps_every_other_byte():
    data = b"Subject: =?utf-8?Q?caf=C3=A9_=34111111111111111_ok?="
    (child,) = peels(peel(data, ask()))
    assert located(data, child, NUMBER.encode()) == b"=34111111111111111"
    assert put(data, child, NUMBER.encode(), b"\xe3\x82\xab *") == b"Subject: =?utf-8?Q?caf=C3=A9_=E3=82=AB_*_ok?="


def test_what_the_charset_cannot_spell_is_not_put_back():
    data = b"=?iso-8859-1?B?" + b"NDExMTExMTExMTExMTExMQ==" + b"?="
    (child,) = peels(peel(data, ask()))
    assert put(data, child, NUMBER.encode(), b"\xff") is not None
    (child,) = peels(peel(b"=?utf-8?B?NDExMTExMTExMTExMTExMQ==?=", ask()))
    assert child.hook.encode(b"\xff") is None


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis", "euc-jp", "utf-16-le"])
@pytest.mark.parametrize("number", [NUMBER, FULL, "4111 1111 1111 1111"])
@pytest.mark.parametrize("letter", ["B", "Q"])
def test_found_and_taken_out(inspector, charset, number, letter):
    raw = f"カード {number}".encode(charset)
    spelled = base64.b64encode(raw).decode() if letter == "B" else escape(raw).decode()
    data = f"Subject: =?{charset}?{letter}?{spelled}?= (1)".encode()
    found = inspector.inspect(data).findings
    assert len(found) == 1
    assert found[0].trail[:1] == (("encoded-word",) if letter == "B" or found[0].trail else ())
    left = redact(data, found, "mask")
    assert inspector.inspect(left).findings == ()
    assert left.startswith(b"Subject: =?")
    assert left.endswith(b"?= (1)")
    if charset != "utf-16-le":
        assert decoded(left).startswith("Subject: カード ")


def test_a_subject_as_a_mail_library_folds_it(inspector):
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = f"ご利用のカード番号は {NUMBER} です。よろしくお願いいたします。" * 2
    data = message.as_bytes()
    found = inspector.inspect(data).findings
    assert len(found) == 2
    left = redact(data, found, "mask")
    again = email.message_from_bytes(left, policy=email.policy.SMTP)
    # Python 3.13 folds a blank more between two encoded words than 3.12 does.
    assert again["Subject"].replace(" ", "") == message["Subject"].replace(NUMBER, MASKED).replace(" ", "")
    assert max(map(len, left.split())) <= max(75, *map(len, data.split()))


@few
@given(st.text(st.characters(codec="utf-8", categories=["L", "P", "S"]), max_size=30), numbers)
def test_round_trip(before, number):
    data = email.header.Header(f"é{before}<{number}>", "utf-8", maxlinelen=70).encode().encode()
    (child, *_) = peels(peel(data, ask()))
    assert child.data == f"é{before}<{number}>".encode()
    assert decoded(put(data, child, number.encode(), MASKED.encode())) == f"é{before}<{MASKED}>"
