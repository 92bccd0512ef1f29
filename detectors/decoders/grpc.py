"""gRPC, gRPC-Web and Connect: each message behind five bytes that say whether it is compressed and how long it is.

Evasion: a number in the second of several messages, in a compressed one, in the trailers that gRPC-Web and Connect put
into the body; a stream that breaks off in the middle of a message.
Limits: those of the compressions. The compression is named in a header field (``ENCODING_FIELDS``); who knows it adds
it to the content type as a parameter ``grpc-encoding``, and the last such parameter counts. A message that is not
what was named is a Gap. Where nothing was named the magic tells; what cannot be told is a Gap.
Put back: a message at any length, compressed again as it was.
Paths: ``[0]`` is the first message.
Source: grpc ``PROTOCOL-HTTP2.md``, ``PROTOCOL-WEB.md``, ``compression.md``; connectrpc.com "Protocol Reference".
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from detectors.decoders import compressed
from detectors.decoders.offsets import Chain, Framed, Whole, side_by_side
from detectors.model import Ask, Gap, Peel

DECLARED = re.compile(r"application/(?:grpc(?:-web)?(-text)?|connect(?=\+))(?:\+([\w.-]+))?\s*(?:;|\Z)")
ENCODING_FIELDS = {"application/grpc": "grpc-encoding", "application/connect+": "connect-content-encoding"}
"""What a media type begins with -> the header field that names the compression of its messages."""
PREFIXES = tuple(ENCODING_FIELDS)
_CONNECT = "application/connect+"
_ENCODING = re.compile(r";\s*grpc-encoding\s*=\s*\"?([^;\"]*)", re.IGNORECASE)
_HEAD = 5
_COMPRESSED, _END_OF_CONNECT, _TRAILERS = 1, 2, 0x80


def _head(flags: bytes, size: int) -> bytes | None:
    return flags + size.to_bytes(4, "big") if size < 1 << 32 else None


def _inside(frame: Peel, kind: str, encoding: str, ask: Ask) -> Iterator[Peel | Gap]:
    """The message of a compressed frame; gaps lie within the frame."""
    inner = Ask(kind, (), ask.budget)
    if encoding and encoding != "identity":
        found = compressed.unwrap(frame.data, encoding, inner)
    else:
        found = compressed.peel(frame.data, inner)
    empty = True
    for item in found:
        empty = False
        if isinstance(item, Gap):
            yield item
        else:
            codec = "+".join(filter(None, ("grpc", item.codec)))
            told = kind if item.codec else ""
            yield replace(frame, codec=codec, data=item.data, hook=Chain(frame.hook, item.hook), content_type=told)
    if empty:
        yield Gap("unknown-content-encoding", 0, len(frame.data))
        yield replace(frame, content_type="")


def _frames(data: bytes, kind: str, encoding: str, ask: Ask) -> Iterator[Peel | Gap]:
    connect = ask.content_type.startswith(_CONNECT)
    last, told_of_last = (_END_OF_CONNECT, "application/json") if connect else (_TRAILERS, "text/plain")
    at = count = 0
    while at + _HEAD <= len(data):
        ask.budget.check_time()
        flags, start = data[at], at + _HEAD
        end = start + int.from_bytes(data[at + 1 : start], "big")
        if flags & ~(_COMPRESSED | last):
            yield Gap("corrupt-grpc", at, len(data))
            break
        if end > len(data):
            break
        payload, head = data[start:end], data[at : at + 1]
        hook = Framed(at, start, payload, partial(_head, head))
        told = told_of_last if flags & last else kind
        frame = Peel("grpc", payload, hook, f"[{count}]", "", told, framed=True)
        if not flags & _COMPRESSED:
            yield frame
        elif payload:
            for item in _inside(frame, told, encoding, ask):
                yield Gap(item.reason, at, end) if isinstance(item, Gap) else item
        at, count = end, count + 1
    if at < len(data):
        yield Peel("", data[at:], side_by_side(at, len(data)), f"[{count}]", "", "application/octet-stream")
        if not data[at] & ~(_COMPRESSED | last):
            yield Gap("truncated-grpc", at, len(data))


def _plain(data: bytes) -> bytes | None:
    """The frames of the text form: base64, padded wherever the sender flushed."""
    try:
        return b"".join(a2b_base64(piece + b"=" * (-len(piece) % 4)) for piece in data.split(b"="))
    except Base64Error:
        return None


def peel(data: bytes, ask: Ask) -> Iterator[Peel | Gap]:
    """Each message of a body that is declared as gRPC or Connect; what is no whole message as it stands, and a Gap."""
    if not data or not ask.content_type.startswith(PREFIXES):
        return
    declared = DECLARED.match(ask.content_type)
    if declared is None:
        return
    format_ = declared[2] or "proto"
    kind = "application/x-protobuf" if format_ == "proto" else f"application/{format_}"
    encoding = (_ENCODING.findall(ask.content_type) or [""])[-1].strip().lower()
    if not declared[1]:
        yield from _frames(data, kind, encoding, ask)
        return
    frames = _plain(data)
    if frames is None:
        yield Gap("corrupt-grpc", 0, len(data))
        yield Peel("", data, side_by_side(0, len(data)), content_type="text/plain")
        return
    outer = Whole(0, len(data), frames, lambda text: b2a_base64(text, newline=False))
    for item in _frames(frames, kind, encoding, ask):
        if isinstance(item, Gap):
            yield Gap(item.reason, 0, len(data))
        else:
            yield replace(item, codec="+".join(filter(None, ("base64", item.codec))), hook=Chain(outer, item.hook))
