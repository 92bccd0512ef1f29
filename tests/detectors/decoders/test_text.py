import pytest

from detectors.decoders.text import came_out_well, is_rigid, is_text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain\r\n\tlines\f",
        "カード番号".encode(),
        b"\x1b[31mred\x1b[0m \x07",
        b'\x1e{"a":1}\n',
        b"\xef\xbb\xbf<a/>",
    ],
)
def test_text(data):
    assert is_text(data)
    assert not is_rigid(data, "")


@pytest.mark.parametrize(
    "data", [b"a\x00", b"\x0a\x101111", b"caf\xe9", b"\x83J\x81[\x83h", b"\x81\xa1a\xa11", b"\x7f"]
)
def test_binary(data):
    assert not is_text(data)
    assert is_rigid(data, "")
    assert is_rigid(data, "application/octet-stream")


@pytest.mark.parametrize(
    ("data", "well"),
    [
        ("カード".encode(), True),
        (b"plain", True),
        ("a\ufffdb".encode(), False),
        (b"a\x00b", False),
        (b"\xff".decode("cp932").encode(), False),
    ],
)
def test_what_came_out_of_a_charset(data, well):
    assert came_out_well(data) is well


@pytest.mark.parametrize("kind", ["application/x-protobuf", "application/msgpack", "application/grpc+proto"])
def test_a_message_that_is_printable_is_binary_all_the_same(kind):
    assert is_rigid(b'"0 all of this is printable', kind)
    assert not is_rigid(b'{"a":1}', kind)


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"caf\xe9 cvv=1234", "text/plain"),
        (b"a=caf\xe9", "application/x-www-form-urlencoded"),
        (b'{"a":"caf\xe9"}', ""),
        (b"\xef\xbb\xbf <a>caf\xe9</a>", ""),
        (b"--x\r\n\r\n\x00\r\n--x--", "multipart/form-data; boundary=x"),
        (b"caf\xe9", "application/vnd.api+json; charset=latin1"),
    ],
)
def test_broken_text_is_no_binary(data, content_type):
    assert not is_rigid(data, content_type)
