"""The policy file as frozen values. Every field's description is also what an editor shows (``sekisho schema``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from proxy.policy.bypass import Bypass
from proxy.policy.errors import Mark
from proxy.policy.routes import (
    ActOn,
    Mode,
    Numbers,
    OnGap,
    OnViolation,
    Redaction,
    Role,
    Route,
    RouteTable,
    Source,
    Tokens,
    route_table,
)
from proxy.policy.rules import CLASH, Parts, clashes
from proxy.policy.tls import Tls
from proxy.policy.values import (
    STRICT,
    Address,
    Day,
    Entity,
    FilePath,
    HostPattern,
    LaneName,
    ListenAddress,
    PolicyId,
    Size,
    UpstreamUrl,
    Version,
)

_MODE = "enforce carries out what the lanes say; monitor alters and refuses nothing and records everything."
_ON_VIOLATION = (
    "What happens to card data that may not be here. block refuses the message; redact masks it and forwards; "
    "report forwards unchanged and records. The roles shop and payment-gateway block unless the lane or destination "
    "itself says report: redaction does not undo that a card number has passed through."
)
_ON_GAP = "What happens to bytes that could not be inspected. block refuses the message; report forwards and records."
_REDACTION = (
    "What replaces a card number: mask keeps the first six and last four digits, last4 the last four, remove nothing, "
    "fingerprint writes its keyed hash. Security codes, tracks and PIN blocks are always removed whole."
)
_NUMBERS = "A redacted JSON number becomes a string, or stays a number as zero for sinks with a strict schema."
_ACT_ON = "high acts on certain findings and reports doubtful ones; low acts on doubtful ones as well."
_TOKENS = "deny makes a one-time payment token a violation too, for sinks that should not even hold tokens."
_PERCENT = (
    "How many of a hundred messages are enforced, picked at random; what the others hold is recorded and passes, as in "
    "mode monitor."
)
_TEST_NUMBERS = "true reports published test card numbers instead of acting on them."
_LIMITS = "What one message may cost. Beyond a limit its bytes count as uninspectable: on_gap decides."
_BODY = (
    "Most bytes of a body that are kept to be inspected whole. A larger one is inspected in pieces while it passes, or "
    "is uninspectable where that cannot be done."
)
_DEPTH = "Most decoders on top of one another, like gzip in base64 in JSON."
_EXPANDED = "Most bytes that all decoders of one message may produce together."
_READINGS = "Most bytes that are looked at in decodings, for each byte of a message and of what it decompresses to."
_RATIO = "Largest expansion of one compressed stretch, output bytes for each input byte."
_SECONDS = "Longest inspection of one message, in seconds."
_HEADER = "Largest header block of one message."
_BODY_SECONDS = "Longest time a message body may take to arrive, in seconds."
_CONNECTIONS = "Most client connections at a time."

Percent = Annotated[int, Field(ge=0, le=100)]
Depth = Annotated[int, Field(ge=1, le=32)]
Ratio = Annotated[int, Field(ge=1, le=1_000_000)]
Readings = Annotated[int, Field(ge=4, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=60)]
BodySeconds = Annotated[float, Field(gt=0, le=3600)]
Connections = Annotated[int, Field(ge=1, le=1_000_000)]


class _Strict(BaseModel):
    model_config = STRICT


class Limits(_Strict):
    """What one message, and one lane, may cost. Sizes are bytes."""

    body: Size = Field(32 * 1024**2, description=_BODY)
    depth: Depth = Field(6, description=_DEPTH)
    expanded: Size = Field(128 * 1024**2, description=_EXPANDED)
    ratio: Ratio = Field(1000, description=_RATIO)
    readings: Readings = Field(20, description=_READINGS)
    inspect_seconds: Seconds = Field(5.0, description=_SECONDS)
    header: Size = Field(64 * 1024, description=_HEADER)
    body_seconds: BodySeconds = Field(60.0, description=_BODY_SECONDS)
    connections: Connections = Field(1024, description=_CONNECTIONS)


class LaneLimits(_Strict):
    """The limits that one lane has different from the policy's."""

    body: Size | None = Field(None, description=_BODY)
    depth: Depth | None = Field(None, description=_DEPTH)
    expanded: Size | None = Field(None, description=_EXPANDED)
    ratio: Ratio | None = Field(None, description=_RATIO)
    readings: Readings | None = Field(None, description=_READINGS)
    inspect_seconds: Seconds | None = Field(None, description=_SECONDS)
    header: Size | None = Field(None, description=_HEADER)
    body_seconds: BodySeconds | None = Field(None, description=_BODY_SECONDS)
    connections: Connections | None = Field(None, description=_CONNECTIONS)


class Defaults(_Strict):
    """Settings of every lane that does not say otherwise."""

    on_violation: OnViolation = Field("block", description=_ON_VIOLATION)
    on_gap: OnGap = Field("block", description=_ON_GAP)
    redaction: Redaction = Field("mask", description=_REDACTION)
    redaction_numbers: Numbers = Field("string", description=_NUMBERS)
    act_on: ActOn = Field("high", description=_ACT_ON)
    tokens: Tokens = Field("allow", description=_TOKENS)
    percent: Percent = Field(100, description=_PERCENT)


class Overrides(_Strict):
    """What a lane, or a destination of a lane with several, may set for itself."""

    mode: Mode | None = Field(None, description=_MODE)
    on_violation: OnViolation | None = Field(None, description=_ON_VIOLATION)
    on_gap: OnGap | None = Field(None, description=_ON_GAP)
    redaction: Redaction | None = Field(None, description=_REDACTION)
    redaction_numbers: Numbers | None = Field(None, description=_NUMBERS)
    act_on: ActOn | None = Field(None, description=_ACT_ON)
    tokens: Tokens | None = Field(None, description=_TOKENS)
    percent: Percent | None = Field(None, description=_PERCENT)
    allow_test_numbers: bool | None = Field(None, description=_TEST_NUMBERS)


class Destination(Overrides):
    """Hosts a forward or transparent lane may reach, and the role they have."""

    hosts: tuple[HostPattern, ...] = Field(
        min_length=1,
        description="Host names or IP addresses; *.example.com is every name below example.com, not itself.",
    )
    role: Role = Field(description="What these hosts are for the shop: decides which card data may go there.")


class Lane(Overrides):
    """One listener, one destination, one role."""

    name: LaneName = Field(description="1 to 32 of a-z, 0-9 and -. It is a metric label and is on every record.")
    listen: ListenAddress = Field(description="host:port to accept connections on.")
    upstream: UpstreamUrl = Field(
        description="http://host:port, https://host:port, forward for a forward proxy, or transparent for what "
        "iptables redirects here."
    )
    role: Role | None = Field(
        None, description="What the upstream is for the shop. With destinations each has its own."
    )
    source: Source = Field(
        "backend",
        description="Who sends here: the shop's backend, or a browser, which alone may call the token endpoint.",
    )
    destinations: tuple[Destination, ...] = Field((), description="Forward or transparent: which hosts are what.")
    unlisted: Literal["block", "external"] = Field(
        "block", description="Forward or transparent: other hosts are refused, or passed with the role external."
    )
    tls: Tls | None = Field(None, description="TLS of the lane: with its clients, and to the upstream.")
    limits: LaneLimits | None = Field(None, description=_LIMITS)

    _routes: RouteTable | None = PrivateAttr(None)

    def route(self, host: str = "") -> Route | None:
        """The rules for messages to ``host``; ``None`` refuses them. With one upstream, any host is that.

        Raises ``RuntimeError`` on a lane that is not part of a policy: it has no defaults and no limits.
        """
        table: RouteTable | None = (self.__pydantic_private__ or {}).get("_routes")  # by name it takes microseconds
        if table is None:
            raise RuntimeError("a lane has routes once it is part of a Policy")
        return table.find(host)

    @property
    def routes(self) -> tuple[tuple[str, Route], ...]:
        """Every (host pattern, rules) of the lane in file order; the pattern is "" for all other hosts."""
        if self._routes is None:
            raise RuntimeError("a lane has routes once it is part of a Policy")
        table = self._routes
        listed = [
            (pattern, table.below[pattern[2:]] if pattern.startswith("*.") else table.exact[pattern])
            for destination in self.destinations
            for pattern in destination.hosts
        ]
        return (*listed, ("", table.otherwise)) if table.otherwise is not None else tuple(listed)


class Suppression(_Strict):
    """A known false alarm: not acted on up to and including its last day, and still counted."""

    lane: LaneName = Field(description="The lane it is known on.")
    path: str = Field(
        min_length=1,
        max_length=500,
        description="Where, as a finding names it: $.order_id, or $.orders[*].id for any index.",
    )
    entity: Entity = Field(description="The kind of data it was taken for, like PAN.")
    reason: str = Field(min_length=1, max_length=500, description="Why it is none, for whoever reads this next year.")
    until: Day = Field(description="The last day it counts, as year-month-day.")

    def covers(self, lane: str, entity: str, paths: tuple[str, ...], today: date) -> bool:
        """Whether a finding of ``entity`` on ``lane`` at one of ``paths`` is this false alarm, today."""
        if self.lane != lane or self.entity != entity or today > self.until:
            return False
        pattern = _path_pattern(self.path)
        return any(pattern.fullmatch(path) for path in paths)


@lru_cache(maxsize=256)
def _path_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.escape(path).replace(r"\[\*\]", r"\[[0-9]+\]"))


class Admin(_Strict):
    """Where operators look: metrics, health and the inspector page."""

    listen: ListenAddress = Field(
        Address("127.0.0.1", 9464),
        description="host:port of /metrics, /healthz, /readyz and the inspector page; no card traffic passes here.",
        json_schema_extra={"default": "127.0.0.1:9464"},
    )
    token_file: FilePath | None = Field(
        None,
        description="File with the token (32 bytes or more, mode 0600) that the inspector page asks for. Without one, "
        "the page is shown on loopback addresses only.",
    )
    probe_seconds: float = Field(
        60.0, ge=1, le=3600, description="How often each lane is sent a synthetic card number, in seconds."
    )


class Audit(_Strict):
    """The records of what was found and done."""

    path: FilePath = Field(
        Path("var/audit.jsonl"), validate_default=True, description="The audit file, one JSON line each."
    )
    retention_days: int = Field(400, ge=1, le=3660, description="Days a record is kept.")
    coverage_minutes: int = Field(
        60, ge=1, le=1440, description="How often a record says what was inspected since the last one, in minutes."
    )
    fingerprint_key_file: FilePath = Field(
        description="File with the secret key (32 bytes or more) of fingerprints and of the audit chain, mode 0600."
    )


class Policy(_Strict):
    """A whole policy. Get one from ``proxy.policy.load``, which also looks at the files it names."""

    version: Version = Field(description="The version of this file's format.")
    policy_id: PolicyId = Field(description="Free text that names this policy on every record and metric.")
    mode: Mode = Field("enforce", description=_MODE)
    admin: Admin = Field(Admin.model_construct(), description="The admin server.")
    bypass: Bypass = Field(Bypass.model_construct(), description="The watch for connections that go around Sekisho.")
    audit: Audit = Field(description="The audit file and the key of fingerprints.")
    defaults: Defaults = Field(Defaults.model_construct(), description="Settings of lanes that do not say otherwise.")
    lanes: tuple[Lane, ...] = Field(
        min_length=1, description="The lanes: one listener, one destination, one role each."
    )
    suppress: tuple[Suppression, ...] = Field((), description="Known false alarms, each with a reason and a last day.")
    recognizers: tuple[FilePath, ...] = Field((), description="The team's own recognizers, in Presidio's YAML format.")
    limits: Limits = Field(Limits.model_construct(), description=_LIMITS)

    _path: Path = PrivateAttr(Path())
    _sha256: str = PrivateAttr("")
    _place: Callable[..., Mark] | None = PrivateAttr(None)

    def model_post_init(self, context: Any, /) -> None:
        """Gives each lane its effective rules. ``context`` may hold ``path``, ``sha256`` and ``place`` of the file."""
        origin = context or {}
        self._path, self._sha256 = origin.get("path", Path()), origin.get("sha256", "")
        self._place = origin.get("place")
        for lane in self.lanes:
            lane._routes = route_table(self, lane)  # noqa: SLF001 - the lane's half of this construction

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        """A policy whose parts contradict one another cannot be made, by whatever way."""
        for clash in clashes(Parts.of(self)):
            raise PydanticCustomError(CLASH, "{why}", {"why": clash.why})
        return self

    @property
    def path(self) -> Path:
        """The file it was read from."""
        return self._path

    @property
    def sha256(self) -> str:
        """SHA-256 of that file's bytes, in hex."""
        return self._sha256

    def place(self, *loc: str | int) -> Mark:
        """Where ``lanes``, ``0``, ``listen`` … is written in the file."""
        return self._place(*loc) if self._place is not None else Mark(1, 1)
