"""A policy file from its bytes to a Policy, or to everything that is wrong with it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.policy import PolicyError, load, read_key, schema
from proxy.policy.errors import Mark
from proxy.policy.model import Policy

WHOLE = """\
version: 1
policy_id: roki-privacy-policy-2026-11     # free text, on every audit record
mode: enforce
admin: {listen: 127.0.0.1:9464}
audit: {path: var/audit.jsonl, retention_days: 400, fingerprint_key_file: secrets/fingerprint.key}
defaults: {on_violation: block, on_gap: block, redaction: mask}
lanes:
  - {name: app-logs,  listen: 127.0.0.1:3100,  upstream: "http://loki:3100",        role: logging, on_violation: redact}
  - {name: search,    listen: 127.0.0.1:9200,  upstream: "https://es:9200",         role: storage}
  - {name: gmo,       listen: 127.0.0.1:8443,  upstream: "https://p01.mul-pay.jp",  role: payment-gateway}
  - {name: front,     listen: 0.0.0.0:8080,    upstream: "http://127.0.0.1:8000",   role: shop}
  - name: egress
    listen: 127.0.0.1:8081
    upstream: forward
    source: backend
    destinations:
      - {hosts: ["*.mul-pay.jp"], role: payment-gateway}
      - {hosts: ["*.ingest.sentry.io"], role: logging, on_violation: redact}
    unlisted: block
suppress:
  - {lane: app-logs, path: "$.order_id", entity: PAN, reason: "16-digit order ids", until: 2027-03-31}
recognizers: [recognizers.yaml]
limits: {body: 32MiB, depth: 6, expanded: 256MiB, ratio: 1000, inspect_seconds: 5, header: 64KiB, connections: 1024}
"""

LEAST = """\
version: 1
policy_id: least
audit: {fingerprint_key_file: secrets/fingerprint.key}
lanes:
  - {name: logs, listen: 127.0.0.1:3100, upstream: "http://loki", role: logging}
"""


@pytest.fixture
def write(tmp_path):
    """Writes a policy beside a good key file and a recognizers file."""
    (tmp_path / "secrets").mkdir()
    key = tmp_path / "secrets" / "fingerprint.key"
    key.write_text("k" * 40 + "\n")
    key.chmod(0o600)
    (tmp_path / "recognizers.yaml").write_text("recognizers: []\n")

    def write(text: str) -> Path:
        path = tmp_path / "sekisho.yaml"
        path.write_text(text)
        return path

    return write


def problems(path: Path) -> list[tuple[int, int, str]]:
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert caught.value.path == path
    assert not isinstance(caught.value.__context__, ValidationError), "the library's own error knows the values"
    return [(row.mark.line, row.mark.column, row.why) for row in caught.value.problems]


def test_a_whole_policy(write):
    path = write(WHOLE)
    policy = load(path)
    assert policy.path == path
    assert policy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert policy.recognizers == (path.parent / "recognizers.yaml",)
    assert policy.audit.path == path.parent / "var" / "audit.jsonl"
    assert read_key(policy.audit.fingerprint_key_file) == b"k" * 40
    assert [(lane.name, str(lane.upstream)) for lane in policy.lanes] == [
        ("app-logs", "http://loki:3100"),
        ("search", "https://es:9200"),
        ("gmo", "https://p01.mul-pay.jp:443"),
        ("front", "http://127.0.0.1:8000"),
        ("egress", "forward"),
    ]
    egress = policy.lanes[4]
    assert egress.route("p01.mul-pay.jp").on_violation == "block"
    assert egress.route("o1.ingest.sentry.io").on_violation == "redact"
    assert egress.route("elsewhere.example") is None
    assert policy.place("lanes", 4, "upstream") == Mark(14, 15)
    assert policy.place("suppress", 0, "until") == Mark(21, 92)


def test_json_is_a_policy_too(write):
    text = json.dumps(
        {
            "version": 1,
            "policy_id": "json",
            "audit": {"fingerprint_key_file": "secrets/fingerprint.key"},
            "lanes": [{"name": "logs", "listen": "127.0.0.1:3100", "upstream": "http://loki", "role": "logging"}],
            "suppress": [{"lane": "logs", "path": "$", "entity": "PAN", "reason": "r", "until": "2027-03-31"}],
        }
    )
    assert str(load(write(text)).suppress[0].until) == "2027-03-31"


def test_a_policy_in_the_working_directory(write, monkeypatch):
    path = write(WHOLE)
    monkeypatch.chdir(path.parent)
    policy = load(Path("sekisho.yaml"))
    assert policy.audit.path == path.parent / "var" / "audit.jsonl", "it stays right when the directory changes"


def test_everything_that_is_wrong_is_said_at_once(write):
    path = write("""\
version: 2
audit: {retention_days: "400", fingerprint_key_file: nope.key}
defualts: {on_violation: block}
lanes:
  - {name: App, listen: 127.0.0.1, upstream: "redis://cache:6379", role: loging, limits: {dept: 3}}
  - {name: search, listen: 127.0.0.1:9200, upstream: "https://es:9200", role: shop, on_violation: redact}
  - {name: search, listen: 0.0.0.0:9200, upstream: "https://es:9200", tls: {ca_file: ca.pem}, role: storage}
  - {listen: 127.0.0.1:1}
suppress:
  - {lane: serch, path: $.id, entity: PAN, reason: ids, until: 2027-02-31}
  - {lane: serch, path: $.id, entity: PAN, reason: ids, until: 2027-02-01, until: 2027-02-02}
recognizers: [none.yaml]
mode:
""")
    assert problems(path) == [
        (1, 1, 'the policy has no "policy_id"'),
        (1, 10, "version 2 of the policy format is not known"),
        (2, 25, '"retention_days" must be a whole number, not "400"'),
        (2, 54, "the key file does not exist"),
        (3, 1, 'unknown key "defualts"'),
        (5, 12, '"App" is not a lane name'),
        (5, 25, '"127.0.0.1" has no port'),
        (5, 46, "upstream redis is not supported by this version"),
        (5, 74, '"role" cannot be "loging"'),
        (5, 91, 'unknown key "dept"'),
        (6, 99, "redact does not go with the role shop"),
        (7, 12, 'lane name "search" is taken by lane 2'),
        (7, 28, '0.0.0.0:9200 is already listened on by lane "search"'),
        (7, 86, 'the CA file "ca.pem" does not exist'),
        (8, 5, 'lane 4 has no "name"'),
        (8, 5, 'lane 4 has no "upstream"'),
        (10, 64, '"2027-02-31" is not a day of the calendar'),
        (11, 12, 'there is no lane "serch"'),
        (11, 76, '"until" is already set on line 11'),
        (12, 15, 'the recognizers file "none.yaml" does not exist'),
        (13, 1, '"mode" has no value'),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "why"),
    [
        ("mode: enforce", "mode: enforced", 3, 7, '"mode" cannot be "enforced"'),
        (
            "listen: 127.0.0.1:9464",
            "listen: 127.0.0.1:8080",
            11,
            31,
            "0.0.0.0:8080 is already listened on by the admin server",
        ),
        ("redaction: mask}", "redaction: mask, mode: monitor}", 6, 65, 'unknown key "mode"'),
        ("entity: PAN", "entity: PAM", 21, 50, 'nothing finds "PAM"'),
        ("  - name: egress", "  - role: external\n    name: egress", 12, 5, "a forward lane has no role of its own"),
        ("inspect_seconds: 5", "inspect_seconds: 0", 23, 81, '"inspect_seconds" must be more than 0.0'),
        ("inspect_seconds: 5", "inspect_seconds: 61", 23, 81, '"inspect_seconds" must be 60.0 or less'),
        ("body: 32MiB", "body: 0", 23, 16, "a size must be at least 1 byte"),
        ("connections: 1024", "connections: 0", 23, 112, '"connections" must be 1 or more'),
        ("suppress:", "supress:", 20, 1, 'unknown key "supress"'),
    ],
)
def test_one_thing_wrong(write, old, new, line, column, why):
    text = WHOLE.replace("recognizers: [recognizers.yaml]\n", "recognizers: []\n") if "PAM" in new else WHOLE
    assert text.count(old) >= 1
    assert problems(write(text.replace(old, new, 1))) == [(line, column, why)]


def test_the_text_of_an_error(write):
    path = write(WHOLE.replace("role: logging, on_violation: redact}", "role: logging, on_violation: redcat}", 1))
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert str(caught.value) == (
        f'{path}:8:114: "on_violation" cannot be "redcat" (did you mean "redact"? allowed: block, redact, report)'
    )


NUMBER = "4111111111111111"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(LEAST.replace("least", NUMBER), id="number-as-id"),
        pytest.param(LEAST.replace("least", f'"{NUMBER}"'), id="text-as-id"),
        pytest.param(LEAST.replace("logs", NUMBER), id="lane-name"),
        pytest.param(LEAST.replace("role: logging", f"role: {NUMBER}"), id="role"),
        pytest.param(LEAST.replace("127.0.0.1:3100", f"127.0.0.1:{NUMBER}"), id="port"),
        pytest.param(LEAST.replace("http://loki", f"http://u:{NUMBER}@loki"), id="password"),
        pytest.param(LEAST.replace("http://loki", f"http://loki/{NUMBER}"), id="upstream-path"),
        pytest.param(LEAST + f"{NUMBER}: 1\n", id="key"),
        pytest.param(LEAST + f"limits: {NUMBER}\n", id="mapping"),
        pytest.param(LEAST + f"limits: {{body: {NUMBER}}}\n", id="size"),
        pytest.param(LEAST + f"limits: {{depth: {NUMBER}}}\n", id="bound"),
        pytest.param(LEAST + f"recognizers: [{NUMBER}.yaml]\n", id="file"),
        pytest.param(LEAST + f"recognizers: [{NUMBER}]\n", id="file-as-number"),
        pytest.param(LEAST.replace("secrets/fingerprint.key", f"secrets/{NUMBER}"), id="key-file"),
        pytest.param(
            LEAST + f"suppress: [{{lane: '{NUMBER}', path: $, entity: PAN, reason: r, until: 2027-03-31}}]\n",
            id="suppressed-lane",
        ),
        pytest.param(
            LEAST + f"suppress: [{{lane: logs, path: $, entity: P{NUMBER}, reason: r, until: 2027-03-31}}]\n",
            id="entity",
        ),
        pytest.param(
            LEAST + f"suppress: [{{lane: logs, path: $, entity: PAN, reason: '', until: '{NUMBER}'}}]\n", id="day"
        ),
        pytest.param(LEAST + f"x: [{NUMBER}\n", id="syntax"),
        pytest.param(LEAST + f"x: *a{NUMBER}\n", id="alias"),
        pytest.param(LEAST + f"x: !a{NUMBER} 1\n", id="tag"),
        pytest.param(LEAST + "mode: '4111 1111 1111 1111'\n", id="in-groups"),
        pytest.param(LEAST + f"mode: enforce\n'{NUMBER}': 1\n'{NUMBER}': 2\n", id="duplicate-key"),
    ],
)
def test_a_pasted_number_is_never_shown(write, text):
    with pytest.raises(PolicyError) as caught:
        load(write(text))
    said = str(caught.value) + repr(caught.value) + repr(caught.value.problems)
    assert "1111" not in said


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "the policy cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "the policy cannot be read: Is a directory"),
        (os.mkfifo, "the policy cannot be read: Not a regular file"),
        (lambda path: path.write_bytes(b""), "the file is empty"),
        (lambda path: path.write_bytes(b"just text"), 'the file must be a mapping, not "just text"'),
        (lambda path: path.write_bytes(b"- a\n"), "the file must be a mapping, not a list"),
        (lambda path: path.write_bytes(b"~"), "this entry has no value"),
        (lambda path: path.write_bytes(b"x" * 300_000), "the file has more than 262144 bytes"),
    ],
)
def test_what_is_no_policy_file(tmp_path, make, why):
    path = tmp_path / "p.yaml"
    make(path)
    assert problems(path) == [(1, 1, why)]


def test_a_policy_from_standard_input(write, monkeypatch):
    """``sekisho check /dev/stdin``, ``<(envsubst < sekisho.yaml)``: a pipe that somebody is writing to. Files that it
    names are looked for where the command is."""
    path = write(WHOLE)
    monkeypatch.chdir(path.parent)
    reading, writing = os.pipe()
    os.write(writing, path.read_bytes())
    os.close(writing)
    try:
        policy = load(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
    assert (policy.audit, policy.sha256) == (load(path).audit, load(path).sha256)


def nodes(value: Any):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(inner)


def test_the_schema_describes_every_key():
    made = schema()
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    objects = [node for node in nodes(made) if isinstance(node, dict) and "properties" in node]
    assert len(objects) == 11
    for node in objects:
        assert node["additionalProperties"] is False
        for name, field in node["properties"].items():
            assert field.get("description"), f"{node['title']}.{name}"
    assert set(made["properties"]) == set(Policy.model_fields)
    assert made["required"] == ["version", "policy_id", "audit", "lanes"]


def test_the_schema_knows_no_null_and_only_json():
    made = schema()
    assert json.loads(json.dumps(made)) == made
    assert not [node for node in nodes(made) if node is None or node == "null"]
    assert made["$defs"]["Admin"]["properties"]["listen"]["default"] == "127.0.0.1:9464"
    assert made["properties"]["version"]["const"] == 1
    assert made["$defs"]["Lane"]["properties"]["on_violation"]["enum"] == ["block", "redact", "report"]
