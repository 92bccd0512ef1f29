"""The HTTP/2 engine of one connection with bounds of ours: windows, header blocks, frames, and a peer's floods.

The host's connection opens every window to two gigabytes, and keeps whatever it cannot send.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import h2.connection
import h2.events
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.frame_buffer import FrameBuffer
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame, WindowUpdateFrame
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS = 100
"""Exchanges at a time on one connection."""
WINDOW = 256 * 1024
"""Bytes of one stream that a peer may send before any of them is taken."""
CONNECTION_WINDOW = 1024 * 1024
FRAME_BYTES = 16384
TABLE_BYTES = 4096
SLICE_BYTES = 4096
SLICE_COST = 64
"""What is read of a connection between two turns of the event loop: bytes, and frames by their ``_COSTS``."""
_COSTS = {1: 8, 5: 8, 9: 8}
"""By frame type: HEADERS, PUSH_PROMISE and CONTINUATION lead to work; any other counts as one."""
_FRAME_HEAD = 9
_UNSOLICITED = 10_000
"""Streams that the engine itself lets a peer open: beyond ``STREAMS`` each is refused by itself, not the connection."""
_HEADER_ROOM = 4
"""A header block up to so many times the limit is still decoded, to be answered; a larger one ends the connection."""


class Ration:
    """How often a peer may do what costs us and brings it nothing: ``burst`` times at once, then ``rate`` a second."""

    def __init__(self, burst: int, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._level = 0.0
        self._at = time.monotonic()

    def spent(self) -> bool:
        """Takes one. True when that was too many."""
        now = time.monotonic()
        self._level = max(0.0, self._level - (now - self._at) * self._rate) + 1
        self._at = now
        return self._level > self._burst


class Turns:
    """Cuts what a peer sends so that other connections have their turn in between: a frame may be nine bytes, and a
    header block of a few bytes a whole request. ``skip``: the bytes in front of the first frame."""

    def __init__(self, skip: int = 0) -> None:
        self._left = skip
        self._head = b""

    def cut(self, data: bytes) -> Iterator[bytes]:
        """All of ``data``, in slices that cost about the same."""
        start = at = cost = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at, start + SLICE_BYTES - at)
                self._left -= step
            else:
                step = min(_FRAME_HEAD - len(self._head), len(data) - at)
                self._head += data[at : at + step]
                if len(self._head) == _FRAME_HEAD:
                    self._left = int.from_bytes(self._head[:3], "big")
                    cost += _COSTS.get(self._head[3], 1)
                    self._head = b""
            at += step
            if at - start >= SLICE_BYTES or (cost >= SLICE_COST and not self._left):
                yield data[start:at]
                start, cost = at, 0
        if start < len(data):
            yield data[start:]


class _Frames(FrameBuffer):
    """Frames out of bytes. One that is too long is refused by its head: the engine would first keep all of it."""

    def __next__(self) -> Frame:
        if len(self._data) >= _FRAME_HEAD:
            self._validate_frame_length(int.from_bytes(self._data[:3], "big"))
        return super().__next__()


class BoundedH2(BufferedH2Connection):
    """The engine of one connection, with windows and header blocks of our size."""

    def __init__(self, config: H2Configuration, header: int) -> None:
        super().__init__(config)
        settings = self.local_settings
        settings.initial_window_size = WINDOW
        settings.max_frame_size = self.max_inbound_frame_size = FRAME_BYTES
        settings[SettingCodes.MAX_HEADER_LIST_SIZE] = header
        if config.client_side:
            settings.enable_push = 0
        else:
            settings.max_concurrent_streams = STREAMS
        settings.acknowledge()
        self.incoming_buffer = _Frames(server=not config.client_side)
        self.decoder.max_header_list_size = header * _HEADER_ROOM

    def initiate_connection(self) -> None:
        """Writes the preface, and then the windows."""
        h2.connection.H2Connection.initiate_connection(self)
        self.increment_flow_control_window(CONNECTION_WINDOW - self.inbound_flow_control_window)
        if not self.config.client_side:
            self.local_settings.max_concurrent_streams = _UNSOLICITED
            self.local_settings.acknowledge()

    def receive_data(self, data: bytes) -> list[h2.events.Event]:
        """As the host's. A peer may allow a compression table of gigabytes: ours stays small, and quick to search."""
        found: list[h2.events.Event] = super().receive_data(data)
        self.encoder.header_table_size = min(self.encoder.header_table_size, TABLE_BYTES)
        return found

    @property
    def unsent(self) -> bool:
        """Whether frames have been made that ``data_to_send`` has not given out."""
        return bool(self._data_to_send)

    def queued(self, stream_id: int) -> int:
        """Bytes of a stream that wait for the peer's window."""
        return sum(len(chunk.data) for chunk in self.stream_buffers.get(stream_id, ()))

    def waiting(self) -> int:
        """Bytes of all streams that wait for the peer's window."""
        return sum(len(chunk.data) for chunks in self.stream_buffers.values() for chunk in chunks)

    def taken(self, size: int) -> None:
        """Opens the connection's window by ``size`` again."""
        increment = self._inbound_flow_control_window_manager.process_bytes(size)
        if increment:
            frame = WindowUpdateFrame(0)
            frame.window_increment = increment
            self._prepare_for_sending([frame])

    def credit(self, stream_id: int, size: int) -> None:
        """Opens a stream's window by ``size`` again."""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.open:
            self._prepare_for_sending(stream.acknowledge_received_data(size))

    def reset_stream(self, stream_id: int, error_code: int = 0) -> None:
        """Ends a stream, and forgets what waited for it."""
        self.stream_trailers.pop(stream_id, None)
        super().reset_stream(stream_id, error_code)

    def leave(self) -> None:
        """Tells the peer that no more streams are wanted; those that it has begun go on (RFC 9113 6.8)."""
        frame = GoAwayFrame(0)
        frame.last_stream_id = self.highest_inbound_stream_id
        frame.error_code = ErrorCodes.NO_ERROR
        self._prepare_for_sending([frame])

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        """The engine would end the connection; but streams up to the last one named go on."""
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]
