"""The deployment's own authority: what it makes is what clients verify, and its file is never half written."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from proxy import authority as module
from proxy.authority import (
    Authority,
    finished,
    leaf,
    limits_to,
    make,
    may_sign_for,
    pem,
    prepared,
    read_authority,
    some_host,
    successor,
    switched,
    write,
)
from proxy.pem import Pair, TlsFileError
from tests.e2e import authority as theirs

KEY = ec.generate_private_key(ec.SECP256R1())


def verified(base: Path, host: str, authority: Authority, trusted: bytes | None = None) -> bool:
    """Whether OpenSSL takes a leaf for ``host``, by every rule of RFC 5280."""
    (base / "ca").write_bytes(pem(authority.trusted) if trusted is None else trusted)
    (base / "leaf").write_bytes(pem([leaf(host, KEY, authority.signing)]))
    (base / "between").write_bytes(pem(authority.signing.chain))
    kind = "-verify_ip" if host[-1].isdigit() or ":" in host else "-verify_hostname"
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca", kind, host]
    ran = subprocess.run([*command, "-untrusted", "between", "leaf"], cwd=base, capture_output=True, check=False)
    return ran.returncode == 0


def test_what_is_written_is_what_is_read(tmp_path):
    made = make("Sekisho", 30)
    path = tmp_path / "ca.pem"
    write(path, made, new=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["ca.pem"]
    read = read_authority(path)
    assert (read.trusted, read.signing.chain) == (made.trusted, made.signing.chain)
    assert verified(tmp_path, "p01.mul-pay.jp", read)


def test_a_new_one_takes_nobodys_place(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("former")
    with pytest.raises(FileExistsError):
        write(path, make("Sekisho", 30), new=True)
    assert path.read_text() == "former"
    assert [child.name for child in tmp_path.iterdir()] == ["ca.pem"]


def test_a_write_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "ca.pem"
    write(path, make("Sekisho", 30), new=True)
    former = path.read_bytes()
    monkeypatch.setattr(module.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write(path, make("Sekisho", 30), new=False)
    assert path.read_bytes() == former
    assert [child.name for child in tmp_path.iterdir()] == ["ca.pem"]


@pytest.mark.parametrize(
    ("only", "host", "good"),
    [
        (["mul-pay.jp"], "p01.mul-pay.jp", True),
        (["*.mul-pay.jp"], "p01.mul-pay.jp", True),
        (["mul-pay.jp"], "evil.example", False),
        (["mul-pay.jp"], "10.0.0.1", False),
        (["10.0.0.0/8"], "10.0.0.1", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "mul-pay.jp", False),
        (["10.0.0.0/8", "mul-pay.jp"], "mul-pay.jp", True),
        (["fd00::/8"], "fd00::1", True),
        (["pay.jp"], "mul-pay.jp", False),
        (["10.0.0.0/8"], "fd00::1", False),
        ([], "10.0.0.1", True),
        ([], "日本.example", True),
    ],
)
def test_an_authority_signs_for_no_more_than_it_may(tmp_path, only, host, good):
    made = make("Sekisho", 30, limits_to(only))
    assert verified(tmp_path, host.encode("idna").decode(), made) == may_sign_for(made.signing, host) == good


def test_a_rotation(tmp_path):
    old, new = make("Sekisho", 30), make("Sekisho", 60)
    path = tmp_path / "ca.pem"
    both = prepared(old, new)
    write(path, both, new=True)
    both = read_authority(path)
    assert both.signing.chain == old.signing.chain
    assert both.trusted == (*old.trusted, *new.trusted)
    after = switched(both)
    assert after.signing.chain == new.signing.chain
    assert set(after.trusted) == set(both.trusted)
    assert switched(after).signing.chain == old.signing.chain
    end = finished(after)
    write(path, end, new=False)
    assert read_authority(path).trusted == new.trusted
    for step in (both, after):
        assert verified(tmp_path, "a.example", step, pem(both.trusted))
    assert not verified(tmp_path, "a.example", after, pem(old.trusted))


def test_a_successor_is_like_the_one_before_it(tmp_path):
    first = make("Our authority", 30, limits_to(["mul-pay.jp"]))
    new = successor(successor(first, 60), 90)
    (old,), (certificate,) = first.trusted, new.trusted
    limits = [one.extensions.get_extension_for_class(x509.NameConstraints) for one in (old, certificate)]
    assert limits[0] == limits[1]
    names = [one.subject.rfc4514_string() for one in (old, certificate)]
    assert all(re.fullmatch("CN=Our authority [0-9a-f]{8}", name) for name in names)
    assert names[0] != names[1]


@pytest.mark.parametrize("word", ["10.0.0.1/8", "a b", "", "*.*.example", "http://a.example"])
def test_what_nobody_can_be_limited_to(word):
    with pytest.raises(ValueError, match="neither"):
        limits_to([word])


def test_another_file_keeps_whom_it_is_for(tmp_path):
    path, link = tmp_path / "ca.pem", tmp_path / "link"
    write(path, make("Sekisho", 30), new=True)
    path.chmod(0o440)
    link.symlink_to(path)
    write(link, make("Sekisho", 30), new=False)
    assert (path.stat().st_mode & 0o777, link.is_symlink()) == (0o440, True)


def test_what_has_ended_is_trusted_no_more(monkeypatch):
    old = make("Sekisho", 1)
    both = prepared(old, make("Sekisho", 3))

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr(module, "datetime", Later)
    assert both.trusted == both.pairs[1].chain


def test_a_leaf_is_good_for_a_month_and_never_longer_than_its_authority():
    long, short = (leaf("a.example", KEY, make("Sekisho", days).signing) for days in (400, 3))
    assert long.not_valid_after_utc - long.not_valid_before_utc == timedelta(days=30, hours=1)
    assert short.not_valid_after_utc < datetime.now(UTC) + timedelta(days=3, minutes=1)


def test_an_intermediate_authority_is_sent_with_its_leaves(tmp_path):
    """A company's authority above, which clients trust; the file has what is between as well."""
    root = make("Root", 30)
    issuer = root.pairs[0].chain[0]
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "between")])
    now = datetime.now(UTC)
    between = (
        x509.CertificateBuilder(issuer.subject, name, key.public_key(), 7, now - timedelta(days=1), now + timedelta(5))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(b"its own"), critical=False)
        .sign(root.pairs[0].key, hashes.SHA256())
    )
    authority = Authority((Pair(key, (between,)),), (issuer,))
    assert authority.signing.chain == (between,)
    with pytest.raises(ValueError, match="above"):
        successor(authority, 30)
    made = leaf("a.example", KEY, authority.signing)
    own = made.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert own.key_identifier == b"its own"


def test_files_that_are_no_authority(tmp_path):
    theirs.authority(tmp_path)
    certificate, key = theirs.pair(tmp_path, "server")
    path = tmp_path / "ca.pem"
    for content, why in (
        (certificate.read_bytes() + key.read_bytes(), "not one of an authority"),
        (theirs.authority(tmp_path)[0].read_bytes() + key.read_bytes(), "does not belong to any certificate"),
        (key.read_bytes(), "no readable PEM certificate"),
        (certificate.read_bytes(), "no unencrypted PEM key"),
    ):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(TlsFileError, match=why):
            read_authority(path)


@pytest.mark.parametrize(
    ("only", "host"),
    [
        ([], "127.0.0.1"),
        (["127.0.0.0/8"], "127.0.0.1"),
        (["shop.example"], "sekisho.shop.example"),
        (["10.0.0.0/8"], "10.0.0.0"),
        (["shop.example", "10.0.0.0/8"], "sekisho.shop.example"),
    ],
)
def test_some_host_that_it_may_sign_for(only, host):
    made = make("a", 2, limits_to(only)).signing
    assert (some_host(made), may_sign_for(made, host)) == (host, True)
