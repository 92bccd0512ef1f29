"""The files a policy names: missing, unreadable, or not what they should be."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest
from pydantic import BaseModel

from proxy.policy import Policy
from proxy.policy.files import _FILES, files_of, unusable_files
from proxy.policy.text import read
from tests.e2e.authority import authority, pair

CA = """\
-----BEGIN CERTIFICATE-----
MIIBfTCCASOgAwIBAgIUEGwI6ZQ1D0rRQ3vFFF4dNKqb0iUwCgYIKoZIzj0EAwIw
-----END CERTIFICATE-----
"""


def found(base: Path, text: str) -> list[tuple[int, str]]:
    rows = list(unusable_files(read(text.encode()), base))
    assert all(row.hint for row in rows)
    return [(row.mark.column, row.why) for row in rows]


@pytest.fixture
def put(tmp_path):
    def put(name: str, text: str, mode: int = 0o600) -> Path:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
        return tmp_path

    return put


def test_the_key_file(put):
    text = "audit: {fingerprint_key_file: key}"
    assert found(put("key", "k" * 40), text) == []
    assert found(put("key", "k"), text) == [(31, "the key has 1 bytes, 32 are the least")]
    assert found(put("key", "k" * 40, 0o644), text) == [(31, "the key file can be read by others (mode 0644)")]


def test_recognizers(put):
    text = "recognizers: [one.yaml, two.yaml, .]"
    assert found(put("one.yaml", ""), text) == [
        (25, 'the recognizers file "two.yaml" does not exist'),
        (35, 'the recognizers file "." is not a file'),
    ]


def lanes(key: str) -> str:
    return f"lanes: [{{tls: {{{key}: ca.pem}}}}]"


def test_certificate_authorities(put, tmp_path, own_authority):
    text = lanes("ca_file")
    assert found(tmp_path, text) == [(25, 'the CA file "ca.pem" does not exist')]
    assert found(put("ca.pem", CA), text) == [(25, 'the CA file "ca.pem" holds no usable certificate')]
    assert found(put("ca.pem", own_authority.split("-----BEGIN PRIVATE")[0]), text) == []


def test_an_authority_for_interception(put, tmp_path, own_authority):
    text = lanes("intercept_ca_file")
    certificate, key = own_authority.split("-----BEGIN PRIVATE")
    assert found(tmp_path, text) == [(35, "the authority file does not exist")]
    assert found(put("ca.pem", own_authority, 0o644), text) == [
        (35, "the authority file can be read by others (mode 0644)")
    ]
    assert found(put("ca.pem", certificate), text) == [(35, 'the authority file "ca.pem" holds no private key')]
    assert found(put("ca.pem", "-----BEGIN PRIVATE" + key), text) == [
        (35, 'the authority file "ca.pem" holds no certificate')
    ]
    assert found(put("ca.pem", "x"), text) == [
        (35, 'the authority file "ca.pem" holds no certificate and no private key')
    ]
    assert found(put("ca.pem", own_authority), text) == []


def test_a_file_that_several_lanes_name_is_read_once_and_told_of_each(put, tmp_path, monkeypatch, own_authority):
    read = []
    monkeypatch.setattr("proxy.authority.read_authority", read.append)
    text = "lanes:\n" + "  - tls: {intercept_ca_file: ca.pem}\n" * 3
    assert found(put("ca.pem", own_authority), text) == []
    assert read == [tmp_path / "ca.pem"]
    assert found(tmp_path, text) == []
    assert len(read) == 2
    (tmp_path / "ca.pem").unlink()
    assert [why for _, why in found(tmp_path, text)] == ["the authority file does not exist"] * 3


CERTIFICATES = """\
lanes:
  - tls:
      certificate_file: a.crt
      key_file: a.key
      client_ca_file: ca.crt
  - tls:
      upstream_certificate_file: b.crt
      upstream_key_file: b.key
"""


def said(base: Path) -> list[tuple[int, str]]:
    return [(row.mark.line, row.why) for row in unusable_files(read(CERTIFICATES.encode()), base)]


def test_certificates_and_their_keys(tmp_path):
    assert sorted(said(tmp_path)) == [
        (3, 'the certificate file "a.crt" does not exist'),
        (4, "the key file does not exist"),
        (5, 'the certificate file "ca.crt" does not exist'),
        (7, 'the certificate file "b.crt" does not exist'),
        (8, "the key file does not exist"),
    ]
    authority(tmp_path)[0].rename(tmp_path / "ca.crt")
    pair(tmp_path, "a")
    certificate, key = pair(tmp_path, "b")
    assert said(tmp_path) == []
    key.chmod(0o604)
    assert said(tmp_path) == [(8, "the key file can be read by others (mode 0604)")]
    key.chmod(0o600)
    key.write_bytes(pair(tmp_path, "a")[1].read_bytes())
    assert said(tmp_path) == [(8, "the key does not belong to the first certificate of upstream_certificate_file")]
    key.write_text("x")
    assert said(tmp_path) == [(8, 'the key file "b.key" holds no unencrypted PEM key')]
    certificate.write_text("x")
    assert (7, 'the certificate file "b.crt" holds no readable PEM certificate') in said(tmp_path)


def test_an_authority_whose_key_is_anothers(tmp_path):
    public, _ = authority(tmp_path)
    _, key = pair(tmp_path, "server")
    (tmp_path / "ca.pem").write_bytes(public.read_bytes() + key.read_bytes())
    (tmp_path / "ca.pem").chmod(0o600)
    assert found(tmp_path, lanes("intercept_ca_file")) == [
        (35, 'the authority file "ca.pem": a key in it does not belong to any certificate in it')
    ]


@pytest.mark.parametrize("text", ["audit: 3", "lanes: {a: b}", "recognizers: 3", 'recognizers: ["", "a\\0b", 3]', "x"])
def test_what_is_no_file_name_is_left_to_the_model(tmp_path, text):
    assert found(tmp_path, text) == []


def paths(model, loc: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Where the model has files, in the rows' own words."""
    kinds = {name: repr(field.annotation) for name, field in model.model_fields.items()}
    here = {(*loc, name, *(["*"] if "tuple" in kind else [])) for name, kind in kinds.items() if "Path" in kind}
    inner = {(*loc, name): field.annotation for name, field in model.model_fields.items()}
    for name, kind in inner.items():
        for each in (kind, *typing.get_args(kind)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                here |= paths(each, (*name, *(["*"] if typing.get_origin(kind) is tuple else [])))
    return here


def test_every_file_of_the_model_has_its_row():
    assert set(_FILES) == paths(Policy) - {("audit", "path")}


def test_the_files_of_a_policy(tmp_path):
    audit = {"fingerprint_key_file": "a.key"}
    tls = {"ca_file": "ca.pem", "intercept_ca_file": "own.pem"}
    lanes = tuple(
        {"name": name, "listen": f"127.0.0.1:{port}", "upstream": "forward", **more}
        for name, port, more in (("one", 1, {}), ("two", 2, {"tls": tls}), ("three", 3, {"tls": {"ca_file": "ca.pem"}}))
    )
    written = {"version": 1, "policy_id": "p", "audit": audit, "lanes": lanes, "recognizers": ("b.yaml",)}
    made = Policy.model_validate(written, context={"base": tmp_path})
    assert files_of(made) == tuple(tmp_path / name for name in ("a.key", "b.yaml", "ca.pem", "own.pem"))
    assert files_of(made.model_copy(update={"admin": made.admin.model_copy(update={"token_file": Path("t")})}))[
        1
    ] == Path("t")


@pytest.fixture(scope="module")
def own_authority() -> str:
    """A self-signed certificate and its key, in PEM."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (certificate.public_bytes(serialization.Encoding.PEM) + private).decode()
