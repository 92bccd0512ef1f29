"""Bodies too large to keep, or that never end, cut into pieces that are inspected one by one while they pass.

A body that is text or bytes without a frame of its own is read in *windows*. The end of each is held back and comes
again at the start of the next one, so that a number is seen whole wherever the sender, the network or the window has
cut it. Server-sent events, lines and gRPC messages are pieces as they stand: each is passed on as soon as it has been
inspected. What can only be read whole (an archive, a document, UTF-16) is not cut: see ``proxy.http.cuts``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from detectors.model import Limits
from proxy.http.codings import Chain, coding_of, container_of
from proxy.http.codings_zlib import CodingError
from proxy.http.cuts import EVENT_END, SNIFF, boundary, kind_of, must_be_whole, only_at_lines

WINDOW = 240 * 1024
"""Bytes that pass at a time."""
TAIL = 16 * 1024
"""Bytes that are held back: what belongs together must be nearer than this."""
_READ = 64 * 1024


class Piece:
    """Bytes of a body that are inspected together. Nothing of it is passed on until ``passes`` is called."""

    __slots__ = ("_stream", "beside", "content_type", "data", "gap", "held", "last", "out")

    def __init__(self, stream: Pieces, data: bytes, held: int, *, last: bool, gap: str) -> None:
        self._stream = stream
        self.data = data
        """Decoded."""
        self.held = held
        """The last bytes of ``data``, which come again at the start of the next piece."""
        self.last = last
        self.gap = gap
        """Why not all of the body can be read from here on."""
        self.content_type = stream.content_type
        self.beside = stream.beside()
        """What the decoders have skipped on the way to ``data``: it passes with it."""
        self.out: bytes | None = None
        """What is to be passed on; ``None`` as long as nothing is."""

    def __repr__(self) -> str:
        return f"Piece({len(self.data)} bytes, {self.held} held)"

    @property
    def coded(self) -> bool:
        """The bytes on the wire are others: they cannot be redacted."""
        return self._stream.coded

    def passes(self, instead: bytes | None = None) -> None:
        """The piece may go on, ``instead`` of its bytes where that is given. Raises ``ValueError`` if it is coded."""
        self.out = self._stream.settle(self, instead)


class Pieces:
    """One body in motion: ``take`` what arrives, then inspect what comes out, until it gives nothing more."""

    def __init__(self, content_type: str, content_encoding: str, limits: Limits) -> None:
        """``limits.body`` bounds what cannot be cut (a line, a message, a run of base64), ``limits.ratio`` what comes
        out of the codings. Raises ``CodingError``: see ``proxy.http.cuts``."""
        self.kind = kind_of(content_type)
        self.content_type = content_type
        """What the pieces are; nothing once they come out of a compressed file."""
        self._most = max(limits.body, 2 * WINDOW)
        self._ratio = limits.ratio
        self._encoded = 0
        """Bytes that the codings have been given."""
        self._coding = coding_of(content_encoding)
        self._sniffed = self.kind != "window"
        self._only_lines = only_at_lines(content_type)
        self._buffer = bytearray()
        """Decoded, and not passed on."""
        self._base = 0
        """Decoded bytes before the buffer."""
        self._seen = 0
        """Bytes of the buffer in which no cut can be made."""
        self._waiting: deque[bytes] = deque()
        """Encoded, and not decoded."""
        self._open: bytes | None = None
        """Encoded, and being decoded."""
        self._read: deque[tuple[int, bytes]] = deque()
        """Encoded, and decoded to what stands before the offset beside it."""
        self._held_back = 0
        """Bytes of ``_read``."""
        self._beside = b""
        """The end of what the codings have skipped, where it goes on in what has not come yet."""
        self._ended = self._over = False
        self._gap = ""

    @property
    def coded(self) -> bool:
        """Whether the bytes on the wire are others than those inspected."""
        return self._coding is not None

    @property
    def over(self) -> bool:
        """Whether the last piece has passed."""
        return self._over

    @property
    def kept(self) -> int:
        """Bytes in memory."""
        return len(self._buffer) + sum(map(len, self._waiting)) + self._held_back

    def take(self, data: bytes | bytearray) -> None:
        """More of the body, as it stands on the wire. A ``bytearray`` is its own from now on."""
        if self._coding is not None:
            self._waiting.extend(_slices(data))
        elif isinstance(data, bytearray) and not self._buffer:
            self._buffer = data
        else:
            self._buffer += data

    def end(self) -> None:
        """The body is complete."""
        self._ended = True

    def next(self) -> Piece | None:
        """The next piece to inspect; ``None``: there is none until more arrives. Raises nothing for bad bytes.

        After a piece with a gap there is no other: the rest of the body cannot be inspected.
        """
        if self._over:
            return None
        while True:
            want = self._seen + WINDOW + TAIL
            self._fill(want)
            whole = self._ended and not self._waiting and self._open is None
            size, held = self._cut(whole=whole)
            if not self._gap and not size and max(len(self._buffer), self._held_back) >= self._most:
                self._gap = "piece-too-large"
            if self._gap:
                return Piece(self, bytes(self._buffer), 0, last=self._ended, gap=self._gap)
            if size or whole:
                last = whole and not held and size == len(self._buffer)
                return Piece(self, bytes(self._buffer[:size]), held, last=last, gap="")
            if len(self._buffer) < want:
                return None

    def beside(self) -> bytes:
        """What the codings have skipped since this was asked last, and the end of what was cut then."""
        if self._coding is None:
            return b""
        found = self._beside + self._coding.beside
        self._coding.beside.clear()
        self._beside = found[found.rfind(b"\n") + 1 :][-TAIL:]
        return found

    def settle(self, piece: Piece, instead: bytes | None) -> bytes:
        """See ``Piece.passes``."""
        if instead is not None and self.coded:
            raise ValueError("a coded body cannot be changed on its way")
        new = piece.data if instead is None else instead
        kept = max(0, len(new) - piece.held)
        if instead is not None:
            self._buffer[: len(piece.data)] = new
        del self._buffer[:kept]
        self._base += kept
        self._seen = 0
        self._over = piece.last or bool(piece.gap)
        if not self.coded:
            return new[:kept]
        out = []
        while self._read and (self._over or self._read[0][0] <= self._base):
            out.append(self._read.popleft()[1])
            self._held_back -= len(out[-1])
        if self._over:
            out += [self._open or b"", *self._waiting]
        return b"".join(out)

    def _fill(self, want: int) -> None:
        """Decodes until ``want`` bytes stand in the buffer, or nothing is left to decode."""
        try:
            self._sniff()
            while len(self._buffer) < want and self._decode():
                pass
            if self._coding is not None and self._ended and not self._waiting and self._open is None:
                self._coding.end()
        except CodingError as error:
            self._gap = str(error)

    def _decode(self) -> bool:
        """Some more; whether there was any input for it."""
        if self._coding is None:
            return False
        if self._open is None:
            if not self._waiting:
                return False
            self._open = self._waiting.popleft()
            self._coding.feed(self._open)
            self._encoded += len(self._open)
        text = self._coding.read(_READ)
        self._buffer += text
        if self._base + len(self._buffer) > max(_READ * 16, self._encoded * self._ratio):
            raise CodingError("ratio")
        if not text:
            self._read.append((self._base + len(self._buffer), self._open))
            self._held_back += len(self._open)
            self._open = None
        return True

    def _sniff(self) -> None:
        """Looks once at how the body begins: a compressed file is read, what must be whole is a gap."""
        if self._sniffed:
            return
        while len(self._buffer) < SNIFF and self._decode():
            pass
        if len(self._buffer) < SNIFF and not self._ended:
            return
        self._sniffed = True
        start = bytes(self._buffer[:SNIFF])
        if must_be_whole(start):
            raise CodingError("body-too-large")
        inner = container_of(start)
        if inner is None:
            return
        self.content_type = ""
        if self._coding is None:
            self._coding = inner
            self._waiting.extend(_slices(self._buffer))
        else:
            inner.feed(bytes(self._buffer))
            self._coding = Chain(self._coding, inner)
        self._buffer = bytearray()

    def _cut(self, *, whole: bool) -> tuple[int, int]:
        """Bytes of the next piece, and how many of them are held back; 0 bytes: no piece yet."""
        if self.kind == "window":
            return self._cut_window(whole=whole)
        if self.kind == "grpc":
            return self._cut_grpc() or (len(self._buffer) if whole else self._no_cut()), 0
        most = self._seen + WINDOW + TAIL
        if self.kind == "line":
            end = self._buffer.rfind(b"\n", self._seen, most) + 1
        else:
            end = 0
            for match in EVENT_END.finditer(self._buffer, max(0, self._seen - 4), most):
                end = match.end()
        return end or (len(self._buffer) if whole and len(self._buffer) <= most else self._no_cut()), 0

    def _cut_window(self, *, whole: bool) -> tuple[int, int]:
        size = len(self._buffer)
        if whole and size <= WINDOW + TAIL:
            return size, 0
        end = min(size, self._seen + WINDOW + TAIL)
        if end < self._seen + WINDOW + TAIL and not whole:
            return 0, 0
        cut = boundary(self._buffer, self._seen, end - TAIL, TAIL, only_lines=self._only_lines)
        if cut:
            return end, end - cut
        if whole and end == size:
            return size, 0
        self._seen = end - TAIL
        return self._cut_window(whole=whole)

    def _cut_grpc(self) -> int:
        """The first message: a flag, four bytes of length, and so many bytes (gRPC over HTTP/2, Length-Prefixed)."""
        size = 5 + int.from_bytes(self._buffer[1:5])
        if len(self._buffer) >= 5 and size > self._most:
            self._gap = "piece-too-large"
        return size if 5 <= size <= len(self._buffer) else 0

    def _no_cut(self) -> int:
        self._seen = min(len(self._buffer), self._seen + WINDOW + TAIL)
        return 0


def _slices(data: bytes | bytearray) -> Iterator[bytes]:
    for at in range(0, len(data), _READ):
        yield bytes(data[at : at + _READ])
