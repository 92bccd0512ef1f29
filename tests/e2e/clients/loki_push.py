"""Loki's push messages, as its ``pkg/push/push.proto`` describes them: what promtail and Alloy send, in snappy."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_STRING, _MESSAGE = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_MESSAGE
_INT64, _INT32, _UINT64 = (getattr(FieldDescriptorProto, f"TYPE_{name}") for name in ("INT64", "INT32", "UINT64"))
_ONE, _MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED

_MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Timestamp": [("seconds", 1, _INT64, _ONE, ""), ("nanos", 2, _INT32, _ONE, "")],
    "LabelPair": [("name", 1, _STRING, _ONE, ""), ("value", 2, _STRING, _ONE, "")],
    "Entry": [
        ("timestamp", 1, _MESSAGE, _ONE, "Timestamp"),
        ("line", 2, _STRING, _ONE, ""),
        ("structuredMetadata", 3, _MESSAGE, _MANY, "LabelPair"),
    ],
    "Stream": [
        ("labels", 1, _STRING, _ONE, ""),
        ("entries", 2, _MESSAGE, _MANY, "Entry"),
        ("hash", 3, _UINT64, _ONE, ""),
    ],
    "PushRequest": [("streams", 1, _MESSAGE, _MANY, "Stream")],
}


def _push_request() -> Any:
    file = FileDescriptorProto(name="push.proto", package="logproto", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label, of in fields:
            named = {"type_name": f".logproto.{of}"} if of else {}
            message.field.add(name=field, number=number, type=kind, label=label, **named)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))


PushRequest = _push_request()
