"""Coverage-guided fuzzing of the inspector, with atheris (libFuzzer).

The invariant: whatever the bytes and whatever they are said to be, an inspection ends within its limits and answers
with findings or gaps inside of the bytes; a defect of ours (``inspector-error``) is a crash here; and what ``quiet``
lets pass holds nothing.

    make fuzz                     the property tests with fresh examples, then this target for a minute
    python fuzz/inspect_bytes.py -max_total_time=600 corpus/
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

with atheris.instrument_imports(include=["detectors"]):
    from detectors import Inspector, Limits

CONTENT_TYPES = (
    "", "application/json", "application/x-www-form-urlencoded", "text/xml", "text/plain; charset=utf-16", "text/csv",
    "text/plain; charset=shift_jis", "multipart/form-data; boundary=b", "application/x-protobuf", "application/msgpack",
    "application/cbor", "application/grpc", "message/rfc822", "application/zip",
)  # fmt: skip
CODINGS = ("", "gzip", "deflate", "br", "zstd", "gzip, br")
LIMITS = Limits(body=1 << 20, expanded=1 << 22, seconds=2)
GRACE_SECONDS = 10

INSPECTOR = Inspector(fingerprint_key=bytes(32))


def inspect(data: bytes) -> None:
    """One input: the first two bytes choose what the rest is said to be."""
    if len(data) < 2:
        return
    content_type = CONTENT_TYPES[data[0] % len(CONTENT_TYPES)]
    coding = CODINGS[data[1] % len(CODINGS)]
    body = data[2:]
    began = time.monotonic()
    result = INSPECTOR.inspect(body, content_type, coding, limits=LIMITS)
    if time.monotonic() - began > LIMITS.seconds + GRACE_SECONDS:
        raise RuntimeError("the inspection did not end within its limits")
    if any(gap.reason == "inspector-error" for gap in result.gaps):
        raise RuntimeError("the inspector failed on these bytes")
    if not all(0 <= item.start <= item.end <= len(body) for item in (*result.findings, *result.gaps)):
        raise RuntimeError("a place outside of the bytes")
    if not coding and (result.findings or result.gaps) and INSPECTOR.quiet(body, content_type):
        raise RuntimeError("quiet let pass what holds something")


if __name__ == "__main__":
    atheris.Setup(sys.argv, inspect)
    atheris.Fuzz()
