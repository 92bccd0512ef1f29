"""Which destination a client means by ``Host``, where that is not what says where its message goes.

Redirected in the clear, a name is a claim. One that would change nothing is not looked up, and one that does not hold
changes nothing: the message is judged by the rules of the address, and goes there in any case.

In TLS the connection's name has chosen the rules, and the upstream has proved that name. The same upstream may serve
other names too, and goes by ``Host``: one with other rules is refused (RFC 9110 15.5.20, 7.4; "domain fronting").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import HTTPMode

from proxy.http.calls import CallStream
from proxy.policy.errors import has_long_number
from proxy.policy.values import normal_host

MOST_NAMES = 256
"""That are remembered of one client."""

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(?::[0-9]*)?")


@dataclass(slots=True, eq=False)
class Named:
    """A destination that the client calls by a name, waiting to be told whether that is its name."""

    name: str
    address: str
    port: int
    holds: bool = False
    """The name resolves to the address."""


@dataclass
class HostNamedHook(StartHook):
    """Before a message is judged by the rules of the host that it names."""

    data: Named


class NamedStream(CallStream):
    """An exchange whose client may have been redirected."""

    def find_destination(self) -> CommandGenerator[str]:
        """As any, and for a redirected client in the clear the name that it uses, where that holds."""
        word = yield from super().find_destination()
        if word:
            return word
        field = self.flow.request.headers.get("host", "")
        if self.context.server.tls and self.http_mode is HTTPMode.transparent:
            named = authority_host(field)
            return "misdirected" if field and self.seat.fronts(self.flow.request.host, named) else ""
        if self.seat.original is None:
            return ""
        name = host_name(field)
        if name and self.seat.distinguishes(name) and (yield from self._holds(name, *self.seat.original)):
            self.flow.request.data.host = name
        return ""

    def _holds(self, name: str, address: str, port: int) -> CommandGenerator[bool]:
        if self.seat.sink is not None:
            return True
        names = self.seat.names
        if name not in names:
            named = Named(name, address, port)
            yield HostNamedHook(named)
            if len(names) >= MOST_NAMES:
                names.clear()
            names[name] = named.holds
        return names[name]


def host_name(field: str) -> str:
    """The host in a ``Host`` field as hosts are compared; empty where there is none, or one that is not to be looked
    up: DNS would carry its number out of the house."""
    name = normal_host(authority_host(field))
    return name if name is not None and not has_long_number(name) else ""


def authority_host(field: str) -> str:
    """The host in a ``Host`` field as it stands there, without the port; empty where it is none."""
    found = _AUTHORITY.fullmatch(field)
    return found[1] if found is not None else ""


def same_address(one: str, other: str) -> bool:
    """Whether both are spellings of one IP address."""
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False
