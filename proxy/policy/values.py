"""The words of a policy file that are more than text: addresses, upstreams, hosts, sizes, names, files.

Each is a parser that refuses with a ``why`` and a ``hint``, and an annotated type that carries it, with the JSON
Schema an editor needs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from ipaddress import AddressValueError, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, PlainSerializer, PlainValidator, ValidationInfo, WithJsonSchema

from proxy.policy.errors import has_long_number, refusal, show

_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
LANE_NAME = re.compile(r"[a-z0-9-]{1,32}")
_SIZE = re.compile(r"([0-9]{1,15})\s?([A-Za-z]{1,3})")
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_UNITS = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
LATER_SCHEMES = ("postgresql", "mysql", "redis", "syslog", "syslog+udp", "syslog+tcp", "tcp", "grpc")
"""Upstreams the policy format knows and this version does not carry."""
ANY_HOST = frozenset({"0.0.0.0", "::"})
"""What listens there listens on every address of its family."""
_DEFAULT_PORTS = {"http": 80, "https": 443}

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)
"""Of every part of a policy: unknown keys and wrong types are refused, values never change, errors show no input."""

UpstreamKind = Literal["http", "https", "forward", "transparent"]
_CHOSEN: Mapping[str, UpstreamKind] = {"forward": "forward", "transparent": "transparent"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. ``str()`` is ``host:port``, IPv6 in brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a lane leads. ``host`` is lower case, punycode for international names; "" and 0 if clients choose."""

    kind: UpstreamKind
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        return self.kind if self.chosen else f"{self.kind}://{Address(self.host, self.port)}"

    @property
    def chosen(self) -> bool:
        """Whether the client chooses where each message goes, not the policy."""
        return self.kind in _CHOSEN


def listened(listen: Address, upstream: Upstream) -> tuple[Address, ...]:
    """Where a lane listens. iptables redirects to an address of the connection's own family: a transparent lane on
    ``127.0.0.1`` is on ``::1`` as well, one on ``0.0.0.0`` on ``::``."""
    twin = {"127.0.0.1": "::1", "0.0.0.0": "::"}.get(listen.host) if upstream.kind == "transparent" else None
    return (listen, Address(twin, listen.port)) if twin else (listen,)


def normal_host(text: str) -> str | None:
    """A host name as it is compared: lower case, no trailing dot, international labels in punycode, an IP address in
    its shortest form and without brackets. ``None`` where ``text`` is no host name, which therefore matches nothing.
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in host:
        try:
            return IPv6Address(host).compressed
        except AddressValueError:
            return None
    try:
        ascii_host = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return None
    labels = ascii_host.split(".")
    if len(ascii_host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    return ascii_host


def _text(value: object, what: str, example: str) -> str:
    if not isinstance(value, str):
        raise refusal(f"{show(value)} is not {what}", f'write text like "{example}"')
    return value


def _host_and_port(value: str, text: str) -> Address:
    """``text`` split into host and port; ``value`` is what the file says, for the message."""
    example = "127.0.0.1:3100"
    host, colon, port = text.rpartition(":")
    if colon and not host:
        raise refusal(f"{show(value)} has no host", f'write host:port like "{example}"')
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise refusal(f"{show(value)} has no port", f'write host:port like "{example}", IPv6 as "[::1]:3100"')
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise refusal(f"{show(value)} has no valid port", "a port is a number from 0 to 65535")
    name = normal_host(host)
    if name is None:
        raise refusal(f"{show(value)} has no valid host", f'write host:port like "{example}"')
    return Address(name, int(port))


def parse_address(value: object) -> Address:
    """``host:port`` as an ``Address``. Port 0 takes a free one at start."""
    if isinstance(value, Address):
        return value
    text = _text(value, "an address", "127.0.0.1:3100")
    return _host_and_port(text, text)


def parse_upstream(value: object) -> Upstream:
    """``forward``, ``transparent`` or ``http(s)://host[:port]`` as an ``Upstream``; the scheme's port where none is
    written."""
    if isinstance(value, Upstream):
        return value
    text = _text(value, "an upstream", "http://loki:3100")
    if (kind := _CHOSEN.get(text)) is not None:
        return Upstream(kind)
    scheme, _, rest = text.partition("://")
    if scheme.lower() in LATER_SCHEMES:
        raise refusal(
            f"upstream {scheme.lower()} is not supported by this version", "allowed: http, https, forward, transparent"
        )
    if scheme not in ("http", "https") or not rest:
        raise refusal(
            f"{show(text)} is not an upstream", "write http://host:port, https://host:port, forward or transparent"
        )
    kind = "http" if scheme == "http" else "https"
    try:
        parts = urlsplit(text)
    except ValueError:
        raise refusal(f"{show(text)} is not a URL", "write http://host:port or https://host:port") from None
    if "@" in parts.netloc:
        raise refusal("the upstream holds a user name or password", "remove it: the backend sends its own credentials")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "?" in text or "#" in text:
        raise refusal(
            f"{show(text)} has a path", "write only scheme, host and port: paths pass as the client sends them"
        )
    has_port = ":" in parts.netloc.rpartition("]")[2]
    netloc = parts.netloc if has_port else f"{parts.netloc}:{_DEFAULT_PORTS[kind]}"
    address = _host_and_port(text, netloc)
    if address.port == 0:
        raise refusal(f"{show(text)} has no valid port", "a port to connect to is a number from 1 to 65535")
    return Upstream(kind, address.host, address.port)


def parse_host_pattern(value: object) -> str:
    """``p01.mul-pay.jp`` or ``*.mul-pay.jp`` (any host below it, not itself), in the form hosts are compared in."""
    text = _text(value, "a host", "*.mul-pay.jp")
    wild = text.startswith("*.")
    rest = text[2:] if wild else text
    if "*" in rest:
        raise refusal(f"{show(text)} is not a host", 'one * may stand at the front: "*.mul-pay.jp"')
    if "/" in rest or (":" in rest and normal_host(rest) is None):
        raise refusal(f"{show(text)} is not a host", "write the host alone, without scheme, port or path")
    host = normal_host(rest)
    if host is None or (wild and (":" in host or host.rsplit(".", 1)[-1].isdigit())):
        raise refusal(f"{show(text)} is not a host", 'write a name or an IP address, like "p01.mul-pay.jp"')
    return f"*.{host}" if wild else host


def parse_size(value: object) -> int:
    """A number of bytes: ``32MiB``, ``64 KiB``, ``10MB`` or a plain number."""
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None or match[2] not in _UNITS:
            raise refusal(
                f"{show(value)} is not a size", f"write a number and a unit ({', '.join(_UNITS)}), like 32MiB"
            )
        size = int(match[1]) * _UNITS[match[2]]
    if size < 1:
        raise refusal("a size must be at least 1 byte", "write a number and a unit, like 32MiB")
    if size > 64 * 1024**3:
        raise refusal("a size may be 64GiB at most", "write a smaller one, like 32MiB")
    return size


def parse_lane_name(value: object) -> str:
    """A lane's name: 1 to 32 of a-z, 0-9 and the hyphen. It becomes a metric label, so it must hold no long number."""
    text = _text(value, "a lane name", "app-logs")
    if not LANE_NAME.fullmatch(text):
        raise refusal(f"{show(text)} is not a lane name", "1 to 32 of a-z, 0-9 and -, like app-logs")
    if has_long_number(text):
        raise refusal("the lane name holds a long number", "names become metric labels: use words")
    return text


def parse_version(value: object) -> int:
    """The version of the file's format: 1. (True, which Python takes for 1, is none.)"""
    if value != 1 or isinstance(value, (bool, float)):
        raise refusal(f"version {show(value)} of the policy format is not known", "write version: 1")
    return 1


def parse_policy_id(value: object) -> str:
    """Free text of 1 to 128 printable characters. It is on every audit record, so it must hold no long number."""
    text = _text(value, "a policy id", "shop-policy-v7")
    if not 1 <= len(text) <= 128 or not text.isprintable():
        raise refusal("not a policy id", "1 to 128 printable characters on one line")
    if has_long_number(text):
        raise refusal(
            "the policy id holds a long number", "it is on every record and metric: use words and short numbers"
        )
    return text


def parse_entity(value: object) -> str:
    """The name of a kind of data: ``PAN``, or one of the team's own recognizers."""
    text = _text(value, "an entity", "PAN")
    if not _ENTITY.fullmatch(text):
        raise refusal(f"{show(text)} is not an entity", "capital letters, digits and _, like PAN or SECURITY_CODE")
    return text


def parse_day(value: object) -> date:
    """A day, written bare or quoted as year-month-day."""
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else date.fromisoformat("")
    except ValueError:
        raise refusal(f"{show(value)} is not a day", "write year-month-day: 2027-03-31") from None


def parse_file(value: object, info: ValidationInfo) -> Path:
    """A path, taken from the directory of the policy file (validation context ``base``) where it is relative."""
    text = str(value) if isinstance(value, Path) else _text(value, "a file", "secrets/fingerprint.key")
    if not text or "\0" in text:
        raise refusal("not a file name", "write a path, relative to the policy file or absolute")
    base = (info.context or {}).get("base", Path())
    return Path(base) / text


def is_address(host: str) -> bool:
    """Whether a normalised host is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine's own name or address for itself. Names are not looked up: an attacker's would
    say what the attacker likes."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return is_address(name) and ip_address(name).is_loopback


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


ListenAddress = Annotated[
    Address,
    PlainValidator(parse_address),
    PlainSerializer(str, return_type=str),
    _schema(r"^.+:[0-9]{1,5}$", "127.0.0.1:3100"),
]
UpstreamUrl = Annotated[
    Upstream,
    PlainValidator(parse_upstream),
    PlainSerializer(str, return_type=str),
    _schema(r"^(forward|transparent|https?://[^/@?#]+/?)$", "http://loki:3100"),
]
HostPattern = Annotated[str, PlainValidator(parse_host_pattern), _schema(r"^(\*\.)?[^*/\s]+$", "*.mul-pay.jp")]
Version = Annotated[int, PlainValidator(parse_version), WithJsonSchema({"type": "integer", "const": 1})]
LaneName = Annotated[str, PlainValidator(parse_lane_name), _schema(r"^[a-z0-9-]{1,32}$", "app-logs")]
PolicyId = Annotated[str, PlainValidator(parse_policy_id), _schema(r"^.{1,128}$", "shop-policy-v7")]
Entity = Annotated[str, PlainValidator(parse_entity), _schema(r"^[A-Z][A-Z0-9_]{0,63}$", "PAN")]
Day = Annotated[
    date, PlainValidator(parse_day), WithJsonSchema({"type": "string", "format": "date", "examples": ["2027-03-31"]})
]
FilePath = Annotated[Path, PlainValidator(parse_file), WithJsonSchema({"type": "string", "minLength": 1})]
Size = Annotated[
    int,
    PlainValidator(parse_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": rf"^[0-9]{{1,15}}\s?({'|'.join(_UNITS)})$"},
            ],
            "examples": ["32MiB"],
        }
    ),
]
