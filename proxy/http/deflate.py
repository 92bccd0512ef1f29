"""The compression of WebSocket messages (permessage-deflate, RFC 7692)."""

from __future__ import annotations

import zlib

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits


class Deflate(PerMessageDeflate):
    """The library's compression (RFC 7692), with two things mended: a control frame between the fragments of a message
    does not end its compression, and neither does a final block in the middle of it (7.2.3.4)."""

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """The reserved bits that a frame may have."""
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return CloseReason.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        """The bytes of a frame, inflated."""
        if self._is_control or not self._inbound_compressed:
            return data
        return self._inflate(proto, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """What is left at the end of a frame."""
        if self._is_control or not fin:
            return None
        compressed, self._inbound_compressed = self._inbound_compressed, None
        if not compressed:
            return None
        rest = self._inflate(proto, b"\x00\x00\xff\xff")
        if self.server_no_context_takeover if proto.client else self.client_no_context_takeover:
            self._decompressor = None
        return rest

    def _inflate(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        bits = self.server_max_window_bits if proto.client else self.client_max_window_bits
        out = b""
        try:
            while data:
                if self._decompressor is None:
                    self._decompressor = zlib.decompressobj(-bits)
                out += self._decompressor.decompress(data)
                data = self._decompressor.unused_data
                if self._decompressor.eof:
                    self._decompressor = None
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return out
