"""The key file: what is taken as the key, and what is refused with the command that mends it."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from proxy.keyfile import KeyFileError, others, read_key, read_private


@pytest.fixture
def key_file(tmp_path):
    def write(data: bytes, mode: int = 0o600):
        path = tmp_path / "my key"
        path.write_bytes(data)
        path.chmod(mode)
        return path

    return write


@pytest.mark.parametrize(
    ("data", "key"),
    [
        pytest.param(b"k" * 32, b"k" * 32, id="shortest"),
        pytest.param(b"k" * 64 + b"\n", b"k" * 64, id="text-with-newline"),
        pytest.param(b"\xff" * 31 + b"\n", b"\xff" * 31 + b"\n", id="binary-ending-in-newline"),
        pytest.param(b"k" * 4096, b"k" * 4096, id="longest"),
    ],
)
def test_the_key(key_file, data, key):
    assert read_key(key_file(data)) == key
    assert read_key(key_file(data, 0o400)) == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o610])
def test_a_file_that_others_can_open_is_refused_with_the_command(key_file, mode):
    path = key_file(b"k" * 32, mode)
    with pytest.raises(KeyFileError) as caught:
        read_key(path)
    assert caught.value.why == f"the key file can be read by others (mode {mode:04o})"
    assert caught.value.hint == f"run: chmod 600 '{path}'"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        pytest.param(b"", "the key has 0 bytes, 32 are the least", id="empty"),
        pytest.param(b"k" * 31 + b"\n" * 9, "the key has 31 bytes, 32 are the least", id="white-space-does-not-count"),
        pytest.param(b"\xff" * 31, "the key has 31 bytes, 32 are the least", id="short-binary"),
        pytest.param(b"k" * 4097, "the key file has more than 4096 bytes", id="too-long"),
    ],
)
def test_a_bad_key_is_refused_without_showing_it(key_file, data, why):
    with pytest.raises(KeyFileError) as caught:
        read_key(key_file(data))
    assert caught.value.why == why
    assert "kkk" not in str(caught.value)


def test_a_missing_file_is_refused_with_the_command(tmp_path):
    with pytest.raises(KeyFileError) as caught:
        read_key(tmp_path / "none")
    assert caught.value.why == "the key file does not exist"
    assert caught.value.hint == f"make one: umask 077; head -c 48 /dev/urandom | base64 > {tmp_path}/none"


def test_a_credential_is_neither_to_be_made_nor_taken_from_its_service(key_file, monkeypatch, tmp_path):
    monkeypatch.setattr("proxy.keyfile.CREDENTIALS", tmp_path)
    with pytest.raises(KeyFileError) as missing:
        read_key(tmp_path / "sekisho.service" / "fingerprint.key")
    with pytest.raises(KeyFileError) as open_to_others:
        read_key(key_file(b"k" * 40, 0o444))
    assert missing.value.hint == "systemd puts it there while the service runs, by LoadCredential= of the unit"
    assert open_to_others.value.hint == "run this as the user of the service that systemd lends it to"


def test_the_command_makes_the_directory_as_well(tmp_path):
    with pytest.raises(KeyFileError) as caught:
        read_key(tmp_path / "a b" / "key")
    command = caught.value.hint.removeprefix("make one: ")
    subprocess.run(["sh", "-c", command], check=True)
    assert len(read_key(tmp_path / "a b" / "key")) >= 48


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="not a regular file"):
        read_key(tmp_path)


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyFileError, match="not a regular file"):
        read_key(tmp_path / "pipe")


def test_a_path_through_a_file_is_refused(key_file):
    with pytest.raises(KeyFileError, match="cannot be opened"):
        read_key(key_file(b"") / "key")


def test_a_file_of_somebody_else_is_told_with_whose_it_must_be(key_file, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    path = key_file(b"k" * 32)
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 10001)
    with pytest.raises(KeyFileError) as caught:
        read_key(path)
    assert caught.value.hint == ("Permission denied: let it and its directories belong to who runs Sekisho, user 10001")


def test_other_private_files_have_their_own_words(key_file):
    with pytest.raises(KeyFileError, match=r"the authority file has more than 2 bytes"):
        read_private(key_file(b"abc"), "authority", 2, "buy one")
    assert read_private(key_file(b"ab"), "authority", 2, "buy one") == b"ab"


@pytest.mark.parametrize(
    ("mode", "owner", "reader", "good"),
    [
        (0o400, 1000, 1000, True),
        (0o440, 1000, 1000, False),
        (0o440, 0, 1000, True),  # a systemd credential, a Kubernetes secret
        (0o640, 0, 1000, True),
        (0o660, 0, 1000, False),
        (0o444, 0, 1000, False),
        (0o440, 0, 0, False),
        (0o440, 1001, 1000, False),
    ],
)
def test_root_may_lend_a_key_by_group(mode, owner, reader, good):
    assert (mode & others(owner, reader) == 0) is good
