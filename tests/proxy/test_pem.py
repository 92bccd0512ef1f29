"""Certificates and keys from files: what is there, what is not, and what does not belong together."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from proxy.pem import TlsFileError, belongs, first_end, last_end, read_certificates, read_keys, read_pair
from tests.e2e.authority import authority, pair


def test_a_pair_from_two_files_and_from_one(tmp_path):
    certificate, key = pair(tmp_path, "server")
    two = read_pair(certificate, key)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    both.chmod(0o600)
    one = read_pair(both, both)
    assert one.chain == two.chain == read_certificates(certificate)
    assert belongs(one.chain[0], two.key)


def test_a_chain_keeps_its_order(tmp_path):
    public, _ = authority(tmp_path)
    certificate, key = pair(tmp_path, "server")
    certificate.write_bytes(certificate.read_bytes() + public.read_bytes())
    chain = read_pair(certificate, key).chain
    assert [one.subject.rfc4514_string() for one in chain] == ["CN=server", "CN=test authority"]
    assert first_end(chain) <= last_end(chain)


def test_the_first_and_the_last_end(tmp_path):
    early, late = (read_certificates(pair(tmp_path, name, days=days)[0]) for name, days in (("a", 1), ("b", 3)))
    ends = [early[0].not_valid_after_utc.timestamp(), late[0].not_valid_after_utc.timestamp()]
    assert [first_end(early + late), last_end(early + late)] == ends


def test_what_does_not_belong_together(tmp_path):
    certificate, key = pair(tmp_path, "server")[0], pair(tmp_path, "other")[1]
    with pytest.raises(TlsFileError, match=r"other\.key: the key does not belong to the first certificate of server"):
        read_pair(certificate, key)


@pytest.mark.parametrize("content", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_no_certificate(tmp_path, content):
    path = tmp_path / "a.pem"
    path.write_bytes(content)
    with pytest.raises(TlsFileError, match=r"a\.pem: holds no readable PEM certificate"):
        read_certificates(path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(TlsFileError, match="No such file"):
        read_certificates(tmp_path / "a.pem")
    with pytest.raises(TlsFileError, match="the key file does not exist"):
        read_keys(tmp_path / "a.pem", "key")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.pem")
    with pytest.raises(TlsFileError, match="Not a regular file"):
        read_certificates(tmp_path / "a.pem")


def test_a_key_under_a_password(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "a.key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    path.chmod(0o600)
    with pytest.raises(TlsFileError, match="holds no unencrypted PEM key"):
        read_keys(path, "key")


def test_a_key_that_others_can_read(tmp_path):
    _, key = pair(tmp_path, "server")
    key.chmod(0o644)
    with pytest.raises(TlsFileError, match=r"can be read by others \(mode 0644\)"):
        read_keys(key, "key")


def test_messages_quote_nothing(tmp_path):
    path = tmp_path / "a.key"
    path.write_bytes(b"-----BEGIN PRIVATE KEY-----\n5555555555554444\n-----END PRIVATE KEY-----\n")
    path.chmod(0o600)
    with pytest.raises(TlsFileError) as caught:
        read_keys(path, "key")
    assert str(caught.value) == f"{path}: holds no unencrypted PEM key"
