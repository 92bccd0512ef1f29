import html
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.decoders.xml_text import peel
from detectors.model import Edit, Gap
from tests.detectors.decoders.peeling import (
    MASKED,
    NUMBER,
    Plenty,
    ask,
    few,
    fields,
    gaps,
    holding,
    located,
    numbers,
    peels,
    put,
)

XML = "text/xml"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'<?xml version="1.0"?><order id="7"><card no=\'4111\'>x</card> <cvv>123</cvv></order>', [
            ("/order/@id", "id", b"7"), ("/order/card/@no", "no", b"4111"), ("/order/card", "card", b"x"),
            ("/order/cvv", "cvv", b"123"),
        ]),
        (b"<s:Envelope><s:Body><ns1:CardNo>&#52;1</ns1:CardNo></s:Body></s:Envelope>",
         [("/s:Envelope/s:Body/ns1:CardNo", "CardNo", b"41")]),
        (b"<a>41<![CDATA[11]]><!--x-->11<b/>22</a>", [("/a/comment()", "a", b"x"), ("/a", "a", b"411111"), ("/a", "a", b"22")]),
        (b'<input name="cvv" type=text value="123"><br>t', [
            ("/input/@name", "name", b"cvv"), ("/input/@type", "type", b"text"), ("/input/@value", "cvv", b"123"), ("/", "", b"t"),
        ]),
        (b'<map><entry key="cardNo">4111</entry><cvv value="1" name="x"/></map>', [
            ("/map/entry/@key", "key", b"cardNo"), ("/map/entry", "cardNo", b"4111"), ("/map/cvv/@value", "cvv", b"1"),
            ("/map/cvv/@name", "name", b"x"),
        ]),
        (b"<p>a<p>b</i></div>c</p>d", [("/p", "p", b"a"), ("/p/p", "p", b"b"), ("/p/p", "p", b"c"), ("/p", "p", b"d")]),
        (b"<a>1 < 2 & 3</a>", [("/a", "a", b"1 < 2 & 3")]),
        (b'<a b="x<c>4111</c>', [("/a/@b", "b", b"x"), ("/a/c", "c", b"4111")]),
        (b"<4111111111111111>x", [("/", "", b"<4111111111111111>x")]),
        (b"<!DOCTYPE html><html><body>4</body></html>", [("/html/body", "body", b"4")]),
        (b"<a", []),
        (b"<a><!-- 41", [("/a/comment()", "a", b" 41")]),
        (b"<a><![CDATA[41", [("/a", "a", b"41")]),
        (b"", []),
    ],
)  # fmt: skip
def test_text_attributes_and_comments(data, expected):
    assert fields(peel(data, ask(XML))) == expected


@pytest.mark.parametrize("data", [b"plain", b"1 < 2", b'{"a": "<b>"}', b"<4111>"])
def test_text_that_is_no_markup_gives_nothing(data):
    assert fields(peel(data, ask())) == []


def test_markup_is_known_by_its_beginning():
    assert fields(peel(b" \n<a>4</a>", ask())) == [("/a", "a", b"4")]


def test_only_decoded_values_enter_the_trail():
    data = b"<a x='&#49;'>4<![CDATA[&#49;]]></a><b>&#49;<!----></b>"
    assert [(peel.codec, peel.data) for peel in peels(peel(data, ask(XML)))] == [
        ("html", b"1"), ("", b"4&#49;"), ("", b""), ("html", b"1"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"<!doctype a [<!entity % x '4'>]>",
        b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///x'>]><a>&x;</a>",
        b"<!DOCTYPE a [<!ENTITY x '41'><!ENTITY y '&x;&x;'>]><a>&y;</a>",
        b"<!DOCTYPE a [<!ENTITY % p 'x'>%p;]><a/>",
        b"<!DOCTYPE a [<!ENTITY x PUBLIC 'a' 'http://h/'>]><a>&x;</a>",
        b"<!DOCTYPE a [<!ENTITY x '4' ",
    ],
)
def test_an_entity_that_would_have_to_be_expanded_is_a_gap(data):
    assert gaps(peel(data, ask(XML))) == [Gap("xml-entity", 0, len(data))]


@pytest.mark.parametrize(
    ("dtd", "used", "inside"),
    [
        (b"<!ENTITY x '4111'><!ENTITY y \"1111\">", b"&x;&y;&x;&y;", b"4111111141111111"),
        (b"<!ENTITY x '4111'><!ENTITY x '9'>", b"&x;1", b"41111"),
        (b"<!ENTITY x '&#52;'>", b"&x;1", b"41"),
        (b"<!ENTITY x '4'><!ATTLIST a b CDATA '1'>", b"&x;&amp;&unknown;", b"4&&unknown;"),
    ],
)
def test_entities_of_the_dtd_are_put_in_their_places(dtd, used, inside):
    data = b"<!DOCTYPE a [" + dtd + b"]><a>" + used + b"</a>"
    expanded = peels(peel(data, ask(XML)))[0]
    assert expanded.codec == "entity"
    start, end = expanded.hook.locate(0, len(expanded.data))
    assert data[start:end].startswith(b"&x;")
    assert fields(peel(expanded.data, ask(XML)))[-1][-1] == inside
    assert expanded.hook.wrap([Edit(0, 1, b"")]) is None


def test_entities_that_nobody_uses_change_nothing():
    data = b'<!DOCTYPE svg [<!ENTITY ns_svg "http://www.w3.org/2000/svg">]><svg><a>4</a></svg>'
    assert fields(peel(data, ask(XML))) == [("/svg/a", "a", b"4")]


def test_entities_have_as_much_room_as_other_decoders():
    data = b"<!DOCTYPE a [<!ENTITY x '" + b"4" * 1000 + b"'>]><a>" + b"&x;" * 1000 + b"</a>"
    items = list(peel(data, ask(XML, budget=Plenty(limit=100_000))))
    assert gaps(items) == [Gap("ratio", 0, len(data))]


@pytest.mark.parametrize(
    ("body", "span"),
    [
        (b"<a><cvv><![CDATA[123]]></cvv></a>", (17, 20)),
        (b"<a><cvv><!-- three digits -->123</cvv></a>", (29, 32)),
        (b"<a><input value='123' name='cvv'/></a>", (17, 20)),
        (b"<a>4111<![CDATA[11111111]]>1111</a>", (3, 31)),
        (b"<a><![CDATA[41111111]]><![CDATA[11111111]]></a>", (12, 40)),
        (b"<a>41111111<?x y?>11111111</a>", (3, 26)),
        (b"<!DOCTYPE a [<!ENTITY x '41111111'>]><a>&x;11111111</a>", (40, 43)),
        (b"<!DOCTYPE a [<!ENTITY x '123'>]><cvv>&x;</cvv>", (37, 40)),
    ],
)
def test_what_a_parser_joins_is_found_and_what_markup_parts_from_its_name(inspector, body, span):
    (finding,) = inspector.inspect(body, XML).findings
    assert (finding.start, finding.end) == span
    assert not inspector.quiet(body, XML)


def test_only_what_the_hits_ask_for():
    data = b"<a><b>" + b"x" * 200 + b"</b><c>4111</c><d e='" + b"y" * 200 + b"'>z</d></a>"
    assert fields(peel(data, ask(XML, data.index(b"4111") + 4))) == [
        ("/a/c", "c", b"4111"), ("/a/d/@e", "e", b"y" * 200),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "changed"),
    [
        (b"<a>no 4111<!-- x -->111111111111 end</a>", b"<a>no * end</a>"),
        (b"<a>no <![CDATA[4111111111111111]]> end</a>", b"<a>no <![CDATA[*]]> end</a>"),
        (b"<a>no 4111<![CDATA[11111111]]>1111 end</a>", b"<a>no * end</a>"),
        (b"<a>no 4111<![CDATA[111111111111]]> end</a>", None),
        (b"<a>no <![CDATA[x 4111]]>111111111111 end</a>", None),
    ],
)
def test_a_number_that_markup_splits_is_one_number(data, changed):
    child = holding(peel(data, ask(XML)), NUMBER.encode())
    assert located(data, child, b"end") == b"end"
    assert put(data, child, NUMBER.encode(), b"*") == changed


def test_depth_costs_no_stack():
    data = b"<a>" * 100_000 + b"4111"
    (field,) = fields(peel(data, ask(XML)))
    assert field == ("/…" + "/a" * 32, "a", b"4111")


text = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Nd")), max_size=20)


@few
@given(text, numbers, text, st.sampled_from((str, "attribute", "reference", "cdata")))
def test_round_trip(before, number, after, how):
    marked = f"[{number}]"
    spelled = "".join(f"&#{ord(d)};" for d in number) if how == "reference" else number
    if how == "attribute":
        wire = f"<o><c n={quoteattr(before + marked + after)}>x</c></o>"
    elif how == "cdata":
        before, after = before.replace("]", ""), " " + after
        wire = f"<o><c><![CDATA[{before}[{number}] ]]>{escape(after[1:])}</c></o>"
    else:
        wire = f"<o><c>{escape(before)}[{spelled}]{escape(after)}</c></o>"
    data = wire.encode()
    child = holding(peel(data, ask(XML)), marked.encode())
    assert child.data.decode() == before + marked + after
    assert child.key == ("n" if how == "attribute" else "c")
    changed = put(data, child, number.encode(), MASKED.encode())
    element = ET.fromstring(changed.decode()).find("c")
    assert (element.get("n") if how == "attribute" else element.text) == before + f"[{MASKED}]" + after


def test_html_as_a_browser_reads_it():
    data = b'<form><input name=card value="&#x34;111&nbsp;1111"></form>'
    child = holding(peel(data, ask("text/html; charset=utf-8")), b"4111")
    assert (child.key, child.data.decode()) == ("card", html.unescape("&#x34;111&nbsp;1111"))


@pytest.mark.parametrize(
    "text",
    [
        b"<tr><th>CVV</th><td>123</td></tr>", b"<dl>\n <dt>Security Code</dt>\n <dd>123</dd>\n</dl>", b"<dict><key>cvv</key><string>123</string></dict>",
        b"<member><name>cvv</name><value><string>123</string></value></member>", b"<member><name>cvc</name><value><int>123</int></value></member>",
        b"<label>CVV</label><input type='text' value='123'>", b"<p><b>CVV</b>: <span>123</span></p>", "<td>セキュリティコード</td><td>123</td>".encode(),
    ],
)  # fmt: skip
def test_the_text_before_it_names_a_value(inspector, text):
    (finding,) = inspector.inspect(text, "text/html").findings
    assert (finding.entity, text[finding.start : finding.end]) == ("SECURITY_CODE", b"123")


@pytest.mark.parametrize(
    "text",
    [
        b"<tr><th>CVV</th><td></td><td>yes</td><td>123</td></tr>",
        b"<a>CVV</a><b>required</b><c>123</c>",
        b"<r><f>cvv</f></r><total>123</total>",
    ],
)
def test_only_the_next_text_is_named(inspector, text):
    assert inspector.inspect(text, "text/html").findings == ()
