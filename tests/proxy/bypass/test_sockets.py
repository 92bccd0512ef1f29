"""The socket tables: rows as kernels write them, garbage, and the kernel's own tables while real sockets are open."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest

from proxy.bypass import sockets
from proxy.bypass.sockets import Connection, Endpoint, Sockets, read

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TABLES = ("tcp", "tcp6", "udp", "udp6")


def row(local: str, remote: str, state: str, uid: int = 1000, inode: int = 7) -> str:
    """A row with addresses as a little-endian kernel writes them."""
    return f"   0: {local} {remote} {state} 00000000:00000000 02:000A0B0C 00000000 {uid:5}        0 {inode} 2 0 20 4 30 10 -1\n"


@pytest.fixture
def tables(tmp_path):
    """``tables(tcp=…)``: a directory with these tables; the others have a head and no rows."""

    def write(**texts: str | bytes):
        for name in TABLES:
            text = texts.get(name, "")
            (tmp_path / name).write_bytes(text if isinstance(text, bytes) else (HEAD + text).encode())
        return tmp_path

    return write


LOKI, ME = Endpoint("10.0.0.9", 3100), Endpoint("10.0.0.5", 41234)

ROWS = {
    "open": ("tcp", row("0500000A:A112", "0900000A:0C1C", "01"), Connection("tcp", ME, LOKI, "connected", 1000, 7)),
    "opening": ("tcp", row("0500000A:A112", "0900000A:0C1C", "02"), Connection("tcp", ME, LOKI, "connecting", 1000, 7)),
    "half closed": (
        "tcp",
        row("0500000A:A112", "0900000A:0C1C", "08"),
        Connection("tcp", ME, LOKI, "closing", 1000, 7),
    ),
    "a large uid": (
        "tcp",
        row("0500000A:A112", "0900000A:0C1C", "01", uid=4294967294, inode=4123456789),
        Connection("tcp", ME, LOKI, "connected", 4294967294, 4123456789),
    ),
    "ipv6": (
        "tcp6",
        row("B80D0120000000000000000001000000:A112", "B80D0120000000000000000002000000:01BB", "01"),
        Connection("tcp", Endpoint("2001:db8::1", 41234), Endpoint("2001:db8::2", 443), "connected", 1000, 7),
    ),
    "ipv4 in ipv6": (
        "tcp6",
        row("0000000000000000FFFF00000500000A:A112", "0000000000000000FFFF00000900000A:0C1C", "01"),
        Connection("tcp", ME, LOKI, "connected", 1000, 7),
    ),
    "udp": (
        "udp",
        row("0500000A:A112", "0900000A:01BB", "01"),
        Connection("udp", ME, Endpoint("10.0.0.9", 443), "connected", 1000, 7),
    ),
    "udp over ipv6": (
        "udp6",
        row("B80D0120000000000000000001000000:A112", "B80D0120000000000000000002000000:01BB", "01"),
        Connection("udp", Endpoint("2001:db8::1", 41234), Endpoint("2001:db8::2", 443), "connected", 1000, 7),
    ),
}


@pytest.mark.parametrize(("table", "text", "expected"), ROWS.values(), ids=ROWS)
def test_a_row(tables, table, text, expected):
    assert read(tables(**{table: text})) == Sockets((expected,))


NOBODYS = {
    "waits after its end": row("0500000A:A112", "0900000A:0C1C", "06", 0, 0),
    "closed by its process": row("0500000A:A112", "0900000A:0C1C", "05", 0, 0),
    "not yet a connection": row("0500000A:A112", "0900000A:0C1C", "03", 0, 0),
    "a state that does not exist": row("0500000A:A112", "0900000A:0C1C", "1F"),
    "no hexadecimal": row("0500000G:A112", "0900000A:0C1C", "01"),
    "an address of another length": row("0500000A00:A112", "0900000A:0C1C", "01"),
    "a number that never ends": row("0500000A:A112", "0900000A:0C1C", "01", inode=10**30),
    "cut off": row("0500000A:A112", "0900000A:0C1C", "01")[:60],
    "empty lines": "\n\n\n",
}


@pytest.mark.parametrize("text", NOBODYS.values(), ids=NOBODYS)
def test_rows_that_are_passed_over(tables, text):
    after = row("0500000A:A113", "0900000A:0C1C", "01")
    known = Connection("tcp", Endpoint("10.0.0.5", 41235), LOKI, "connected", 1000, 7)
    assert read(tables(tcp=text + "\n" + after)) == Sockets((known,))


def test_garbage_is_no_socket(tables):
    junk = bytes(range(256)) * 40
    assert read(tables(tcp=junk, tcp6=junk, udp=junk, udp6=junk)) == Sockets()


def test_udp_that_is_bound_to_no_peer(tables):
    assert read(tables(udp=row("00000000:0035", "00000000:0000", "07"))) == Sockets()


LISTENING = row("00000000:1F90", "00000000:0000", "0A", 1000) + row("0100007F:0C1C", "00000000:0000", "0A", 2000)
SIDES = {
    "to any address": ("0500000A:1F90", None, True),
    "to any address of that user": ("0500000A:1F90", 1000, True),
    "of another user": ("0500000A:1F90", 2000, False),
    "to that very address": ("0100007F:0C1C", 2000, True),
    "to another address": ("0500000A:0C1C", None, False),
    "to another port": ("0500000A:A112", None, False),
}


@pytest.mark.parametrize(("local", "uid", "expected"), SIDES.values(), ids=SIDES)
def test_which_side_has_opened_it(tables, local, uid, expected):
    found = read(tables(tcp=LISTENING + row(local, "0900000A:D431", "01")))
    assert found.listeners == {Endpoint("0.0.0.0", 8080): {1000}, Endpoint("127.0.0.1", 3100): {2000}}
    assert (list(found.incoming(uid)) == list(found.connections)) is expected


def test_ipv6_listeners_take_ipv4_too(tables):
    anywhere = row("00000000000000000000000000000000:1F90", "00000000000000000000000000000000:0000", "0A")
    found = read(tables(tcp6=anywhere, tcp=row("0500000A:1F90", "0900000A:D431", "01")))
    assert list(found.incoming()) == list(found.connections)


def test_what_is_too_long_is_read_in_part(tables, monkeypatch):
    one = row("0500000A:A112", "0900000A:0C1C", "01")
    monkeypatch.setattr(sockets, "MOST_BYTES", len(HEAD) + len(one) + 20)
    found = read(tables(tcp=one * 3))
    assert (len(found.connections), found.whole) == (1, False)


def test_a_table_that_grows_behind_its_end_is_whole(monkeypatch):
    """The kernel ends it where it stands, and goes on when it is asked again."""

    class Growing(io.BytesIO):
        def read(self, size=-1):
            return super().read(size) or one

    one = row("0500000A:A112", "0900000A:0C1C", "01").encode()
    monkeypatch.setattr(Path, "open", lambda *_: Growing(HEAD.encode() + one))
    assert read(Path("net")).whole


def test_a_machine_without_ipv6(tables):
    place = tables(tcp=row("0500000A:A112", "0900000A:0C1C", "01"))
    (place / "tcp6").unlink()
    (place / "udp6").unlink()
    assert len(read(place).connections) == 1


def test_no_tables_at_all(tmp_path):
    with pytest.raises(OSError, match="tcp"):
        read(tmp_path)


def test_endpoints_are_written_as_people_write_them():
    assert (str(LOKI), str(Endpoint("2001:db8::2", 443))) == ("10.0.0.9:3100", "[2001:db8::2]:443")


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_this_machine(family, host):
    with (
        socket.create_server((host, 0), family=family) as server,
        socket.create_connection(server.getsockname()[:2]) as us,
    ):
        theirs, _ = server.accept()
        with theirs:
            now = read()
            here, there = Endpoint(*us.getsockname()[:2]), Endpoint(*server.getsockname()[:2])
            ends = {
                (connection.local, connection.remote): connection
                for connection in now.connections
                if {connection.local, connection.remote} == {here, there}
            }
            assert set(ends) == {(here, there), (there, here)}
            ours, accepted = ends[here, there], ends[there, here]
            assert (ours.uid, ours.inode, ours.state) == (os.getuid(), os.fstat(us.fileno()).st_ino, "connected")
            assert (ours in now.incoming(), accepted in now.incoming(os.getuid())) == (False, True)


def test_this_machine_over_udp():
    with socket.socket(type=socket.SOCK_DGRAM) as us:
        us.connect(("127.0.0.1", 443))
        here = Endpoint(*us.getsockname())
        (found,) = [row for row in read().connections if row.local == here and row.protocol == "udp"]
        assert (found.remote, found.uid) == (Endpoint("127.0.0.1", 443), os.getuid())
