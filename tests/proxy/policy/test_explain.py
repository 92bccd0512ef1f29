"""Every kind of error the model can give is said in the words of the file, with what would be right."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.policy.explain import problems
from proxy.policy.model import Policy
from proxy.policy.text import read

GOOD = """\
version: 1
policy_id: p
audit: {fingerprint_key_file: k}
lanes:
  - {name: a, listen: "127.0.0.1:1", upstream: forward}
"""


def said(text: str) -> list[tuple[int, int, str]]:
    document = read((GOOD + text).encode())
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(document.value)
    rows = problems(caught.value.errors(), document, Policy)
    return [(row.mark.line, row.mark.column, f"{row.why} ({row.hint})") for row in rows]


@pytest.mark.parametrize(
    ("text", "column", "text_of_error"),
    [
        pytest.param(
            "lane: []",
            1,
            'unknown key "lane" (allowed: mode, admin, bypass, defaults, suppress, recognizers, limits)',
            id="key-near-one-that-is-written",
        ),
        pytest.param(
            "limit: {}",
            1,
            'unknown key "limit" (did you mean "limits"? allowed: mode, admin, bypass, defaults, suppress, recognizers, limits)',
            id="unknown-key",
        ),
        pytest.param(
            "admin: {port: 1}",
            9,
            'unknown key "port" (allowed: listen, token_file, probe_seconds)',
            id="unknown-inner-key",
        ),
        pytest.param(
            "mode: monitr",
            7,
            '"mode" cannot be "monitr" (did you mean "monitor"? allowed: enforce, monitor)',
            id="word",
        ),
        pytest.param("mode: [monitor]", 7, '"mode" cannot be a list (allowed: enforce, monitor)', id="list-for-a-word"),
        pytest.param(
            "limits: [1]",
            9,
            '"limits" must be a mapping, not a list (write {key: value}, or one key: value a line)',
            id="list-for-a-mapping",
        ),
        pytest.param(
            "recognizers: a.yaml",
            14,
            '"recognizers" must be a list, not "a.yaml" (write [one, two], or one entry a line, each after a hyphen)',
            id="text-for-a-list",
        ),
        pytest.param(
            "suppress: [3]",
            12,
            'an entry of "suppress" must be a mapping, not 3 (write {key: value}, or one key: value a line)',
            id="entry",
        ),
        pytest.param(
            "limits: {depth: x}",
            17,
            '"depth" must be a whole number, not "x" (write digits without quotes or unit)',
            id="text-for-a-number",
        ),
        pytest.param(
            "limits: {depth: 1.5}",
            17,
            '"depth" must be a whole number, not 1.5 (write digits without quotes or unit)',
            id="fraction",
        ),
        pytest.param(
            "limits: {depth: 2027-01-01}",
            17,
            '"depth" must be a whole number, not 2027-01-01 (write digits without quotes or unit)',
            id="date-for-a-number",
        ),
        pytest.param(
            "limits: {inspect_seconds: 5s}",
            27,
            '"inspect_seconds" must be a number, not "5s" (write digits without quotes or unit)',
            id="unit",
        ),
        pytest.param(
            "limits: {depth: 0}",
            17,
            '"depth" must be 1 or more (Most decoders on top of one another, like gzip in base64 in JSON.)',
            id="too-small",
        ),
        pytest.param(
            "limits: {depth: 33}",
            17,
            '"depth" must be 32 or less (Most decoders on top of one another, like gzip in base64 in JSON.)',
            id="too-large",
        ),
        pytest.param(
            "limits: {body: 1QB}",
            16,
            '"1QB" is not a size (write a number and a unit (B, kB, KB, MB, GB, KiB, MiB, GiB), like 32MiB)',
            id="own-parser",
        ),
    ],
)
def test_top_level(text, column, text_of_error):
    assert said(text) == [(6, column, text_of_error)]


FORWARD = "  - name: a\n    listen: 127.0.0.1:1\n    upstream: forward\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "start"),
    [
        pytest.param(
            "  - {name: b, listen: 'a:1'}", 5, 5, 'lane "b" has no "upstream" (http://host:port, ', id="lane-by-name"
        ),
        pytest.param(
            "  - {listen: 'a:1', upstream: forward}", 5, 5, 'lane 1 has no "name" (1 to 32 of ', id="lane-by-number"
        ),
        pytest.param(FORWARD + "    destinations: 3", 8, 19, '"destinations" must be a list, not 3', id="deeper-type"),
        pytest.param(
            FORWARD + "    destinations: [{hosts: [a]}]",
            8,
            20,
            'destination 1 has no "role"',
            id="destination-by-number",
        ),
        pytest.param(
            FORWARD + "    destinations: [{hosts: [], role: logging}]",
            8,
            28,
            '"hosts" needs at least 1 entry',
            id="empty-list",
        ),
        pytest.param(
            FORWARD + "    destinations: [{hosts: [a], role: logging, limits: {}}]",
            8,
            48,
            'unknown key "limits"',
            id="key-of-another",
        ),
        pytest.param(
            FORWARD + "    allow_test_numbers: 1",
            8,
            25,
            '"allow_test_numbers" must be true or false, not 1',
            id="truth",
        ),
        pytest.param(
            FORWARD + "    tls: {ca_fil: x}",
            8,
            11,
            'unknown key "ca_fil" (did you mean "ca_file"?',
            id="inside-an-optional",
        ),
    ],
)
def test_inside_lanes(text, line, column, start):
    document = read((GOOD[: GOOD.index("  - ")] + text).encode())
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(document.value)
    (row,) = problems(caught.value.errors(), document, Policy)
    assert (row.mark.line, row.mark.column) == (line, column)
    assert f"{row.why} ({row.hint})".startswith(start)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ("path: '', reason: r", '"path" must not be empty'),
        ("path: $, reason: ''", '"reason" must not be empty'),
        (f"path: $, reason: {'r' * 501}", '"reason" must have 500 characters or fewer'),
        ("path: 3, reason: r", '"path" must be text, not 3'),
    ],
)
def test_inside_suppressions(keys, why):
    ((_, _, text),) = said(f"suppress: [{{lane: a, entity: PAN, until: 2027-03-31, {keys}}}]")
    assert text.startswith(why)


def test_what_the_reader_reported_is_not_said_twice():
    document = read((GOOD + "mode:\n").encode())
    with pytest.raises(ValidationError) as caught:
        Policy.model_validate(document.value)
    assert list(problems(caught.value.errors(), document, Policy)) == []
    assert [row.why for row in document.problems] == ['"mode" has no value']


def test_a_file_of_nothing_but_errors_is_explained_in_time():
    rows = said("".join(f"k{number}: 1\n" for number in range(3000)))
    assert len(rows) == 3000
    assert rows[2999] == (
        3005,
        1,
        'unknown key "k2999" (allowed: mode, admin, bypass, defaults, suppress, recognizers, limits)',
    )
