"""The words of a policy: what each is read as, and what is refused with which advice."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from pydantic_core import PydanticCustomError

from proxy.policy.values import (
    LATER_SCHEMES,
    Address,
    FilePath,
    Upstream,
    is_loopback,
    listened,
    normal_host,
    parse_address,
    parse_day,
    parse_entity,
    parse_host_pattern,
    parse_lane_name,
    parse_policy_id,
    parse_size,
    parse_upstream,
    parse_version,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_address, "127.0.0.1:3100", Address("127.0.0.1", 3100)),
        (parse_address, "LocalHost:0", Address("localhost", 0)),
        (parse_address, "[::1]:80", Address("::1", 80)),
        (parse_address, "[0:0:0:0:0:0:0:1]:80", Address("::1", 80)),
        (parse_upstream, "forward", Upstream("forward")),
        (parse_upstream, "transparent", Upstream("transparent")),
        (parse_upstream, "http://loki:3100", Upstream("http", "loki", 3100)),
        (parse_upstream, "http://loki/", Upstream("http", "loki", 80)),
        (parse_upstream, "https://P01.Mul-Pay.JP.", Upstream("https", "p01.mul-pay.jp", 443)),
        (parse_upstream, "https://[::1]", Upstream("https", "::1", 443)),
        (parse_upstream, "https://[::1]:9443", Upstream("https", "::1", 9443)),
        (parse_upstream, "https://例え.jp", Upstream("https", "xn--r8jz45g.jp", 443)),
        (parse_upstream, "http://my_service:80", Upstream("http", "my_service", 80)),
        (parse_host_pattern, "*.Mul-Pay.jp", "*.mul-pay.jp"),
        (parse_host_pattern, "*.例え.jp", "*.xn--r8jz45g.jp"),
        (parse_host_pattern, "127.0.0.1", "127.0.0.1"),
        (parse_host_pattern, "::1", "::1"),
        (parse_size, "32MiB", 32 * 1024**2),
        (parse_size, "64 KiB", 64 * 1024),
        (parse_size, "10MB", 10_000_000),
        (parse_size, "1B", 1),
        (parse_size, 5, 5),
        (parse_size, "64GiB", 64 * 1024**3),
        (parse_lane_name, "app-logs", "app-logs"),
        (parse_lane_name, "a" * 32, "a" * 32),
        (parse_policy_id, "roki-privacy-policy-2026-11", "roki-privacy-policy-2026-11"),
        (parse_policy_id, "規約 v7", "規約 v7"),
        (parse_version, 1, 1),
        (parse_entity, "SECURITY_CODE", "SECURITY_CODE"),
        (parse_day, "2027-03-31", date(2027, 3, 31)),
        (parse_day, date(2027, 3, 31), date(2027, 3, 31)),
    ],
)
def test_read_as(parse, text, value):
    assert parse(text) == value
    assert parse(value) == value, "a value that was read already stays"


@pytest.mark.parametrize(
    ("parse", "value", "why"),
    [
        (parse_address, "127.0.0.1", '"127.0.0.1" has no port'),
        (parse_address, ":80", '":80" has no host'),
        (parse_address, "::1:80", '"::1:80" has no port'),
        (parse_address, "a:65536", '"a:65536" has no valid port'),
        (parse_address, "a:8O", '"a:8O" has no valid port'),
        (parse_address, "a:８０", '"a:８０" has no valid port'),
        (parse_address, "a b:80", '"a b:80" has no valid host'),
        (parse_address, "[::zz]:80", '"[::zz]:80" has no valid host'),
        (parse_address, 3100, "3100 is not an address"),
        (parse_upstream, "loki:3100", '"loki:3100" is not an upstream'),
        (parse_upstream, "http://", '"http://" is not an upstream'),
        (parse_upstream, "ftp://x", '"ftp://x" is not an upstream'),
        (parse_upstream, "http://x/push", '"http://x/push" has a path'),
        (parse_upstream, "http://x?a", '"http://x?a" has a path'),
        (parse_upstream, "http://x#", '"http://x#" has a path'),
        (parse_upstream, "http://u:p@x", "the upstream holds a user name or password"),
        (parse_upstream, "http://x:0", '"http://x:0" has no valid port'),
        (parse_upstream, "http://[::1", '"http://[::1" is not a URL'),
        (parse_upstream, "http://x..y", '"http://x..y" has no valid host'),
        (parse_upstream, True, "true is not an upstream"),
        (parse_host_pattern, "*", '"*" is not a host'),
        (parse_host_pattern, "*.*.jp", '"*.*.jp" is not a host'),
        (parse_host_pattern, "a*.jp", '"a*.jp" is not a host'),
        (parse_host_pattern, "https://a.jp", '"https://a.jp" is not a host'),
        (parse_host_pattern, "a.jp:443", '"a.jp:443" is not a host'),
        (parse_host_pattern, "*.0.0.1", '"*.0.0.1" is not a host'),
        (parse_host_pattern, "*.::1", '"*.::1" is not a host'),
        (parse_host_pattern, "", '"" is not a host'),
        (parse_size, "0B", "a size must be at least 1 byte"),
        (parse_size, 0, "a size must be at least 1 byte"),
        (parse_size, -1, "a size must be at least 1 byte"),
        (parse_size, "65GiB", "a size may be 64GiB at most"),
        (parse_size, "32mib", '"32mib" is not a size'),
        (parse_size, "-1MiB", '"-1MiB" is not a size'),
        (parse_size, "1.5MiB", '"1.5MiB" is not a size'),
        (parse_size, True, "true is not a size"),
        (parse_lane_name, "App", '"App" is not a lane name'),
        (parse_lane_name, "a" * 33, f'"{"a" * 33}" is not a lane name'),
        (parse_lane_name, "", '"" is not a lane name'),
        (parse_lane_name, 7, "7 is not a lane name"),
        (parse_lane_name, "lane-4111111111111111", "the lane name holds a long number"),
        (parse_lane_name, "4111-1111-1111-1111", "the lane name holds a long number"),
        (parse_version, 2, "version 2 of the policy format is not known"),
        (parse_version, "1", 'version "1" of the policy format is not known'),
        (parse_version, 1.0, "version 1.0 of the policy format is not known"),
        (parse_version, True, "version true of the policy format is not known"),
        (parse_policy_id, "", "not a policy id"),
        (parse_policy_id, "a\nb", "not a policy id"),
        (parse_policy_id, "4111111111111111", "the policy id holds a long number"),
        (parse_entity, "pan", '"pan" is not an entity'),
        (parse_day, "31.3.2027", '"31.3.2027" is not a day'),
        (parse_day, "20270331", "a value of 8 characters [digits not shown] is not a day"),
        (parse_day, 20270331, "a value of 8 characters [digits not shown] is not a day"),
    ],
)
def test_refused(parse, value, why):
    with pytest.raises(PydanticCustomError) as caught:
        parse(value)
    assert caught.value.context["why"] == why
    assert caught.value.context["hint"]


@pytest.mark.parametrize("scheme", LATER_SCHEMES)
def test_a_protocol_of_a_later_version_is_named(scheme):
    with pytest.raises(PydanticCustomError) as caught:
        parse_upstream(f"{scheme}://db:5432")
    assert caught.value.context["why"] == f"upstream {scheme} is not supported by this version"


@pytest.mark.parametrize("text", ["transparent://10.0.0.1:80", "transparent:80", "Transparent", "forward://a:1"])
def test_where_clients_choose_there_is_no_address(text):
    with pytest.raises(PydanticCustomError) as caught:
        parse_upstream(text)
    assert caught.value.context["hint"] == "write http://host:port, https://host:port, forward or transparent"


@pytest.mark.parametrize(
    ("listen", "upstream", "addresses"),
    [
        ("127.0.0.1:1", "transparent", ["127.0.0.1:1", "[::1]:1"]),
        ("0.0.0.0:1", "transparent", ["0.0.0.0:1", "[::]:1"]),
        ("[::1]:1", "transparent", ["[::1]:1"]),
        ("10.0.0.1:1", "transparent", ["10.0.0.1:1"]),
        ("127.0.0.1:1", "forward", ["127.0.0.1:1"]),
        ("127.0.0.1:1", "http://a", ["127.0.0.1:1"]),
    ],
)
def test_a_transparent_lane_listens_for_both_families(listen, upstream, addresses):
    assert [str(one) for one in listened(parse_address(listen), parse_upstream(upstream))] == addresses


@pytest.mark.parametrize(
    ("text", "host"),
    [
        pytest.param("P01.Mul-Pay.JP", "p01.mul-pay.jp", id="case"),
        pytest.param("p01.mul-pay.jp.", "p01.mul-pay.jp", id="trailing-dot"),
        pytest.param("例え.jp", "xn--r8jz45g.jp", id="unicode"),
        pytest.param("XN--R8JZ45G.jp", "xn--r8jz45g.jp", id="punycode"),
        pytest.param("ｐ０１。mul-pay．jp", "p01.mul-pay.jp", id="full-width-with-ideographic-dots"),
        pytest.param("[::1]", "::1", id="brackets"),
        pytest.param("2001:DB8:0::1", "2001:db8::1", id="long-ipv6"),
        pytest.param("p01.mul-pay.jp..", None, id="two-trailing-dots"),
        pytest.param("", None, id="empty"),
        pytest.param(".", None, id="dot"),
        pytest.param("a" * 64 + ".jp", None, id="label-too-long"),
        pytest.param(".".join(["a" * 63] * 4), None, id="name-too-long"),
        pytest.param("a b.jp", None, id="space"),
        pytest.param("a\x00.mul-pay.jp", None, id="nul"),
        pytest.param("evil.com/.mul-pay.jp", None, id="slash"),
        pytest.param("evil.com@mul-pay.jp", None, id="at"),
        pytest.param("a%2emul-pay.jp", None, id="percent"),
        pytest.param("\ud800.jp", None, id="lone-surrogate"),
        pytest.param("1::2::3", None, id="bad-ipv6"),
    ],
)
def test_hosts_are_compared_in_one_form(text, host):
    assert normal_host(text) == host


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("Shop.LOCALHOST.", True),
        ("", False),
        ("example.com", False),
        ("localhost.example", False),
        ("0.0.0.0", False),
    ],
)
def test_what_is_this_machine_itself(host, local):
    assert is_loopback(host) is local


def test_addresses_and_upstreams_read_as_they_are_written():
    assert [str(parse_address(text)) for text in ("a:1", "[::1]:1")] == ["a:1", "[::1]:1"]
    assert [str(parse_upstream(text)) for text in ("http://a", "https://[::1]", "forward", "transparent")] == [
        "http://a:80",
        "https://[::1]:443",
        "forward",
        "transparent",
    ]


def test_a_file_is_looked_for_from_the_policy():
    read = TypeAdapter(FilePath).validate_python
    assert read("a/b.key", context={"base": Path("/etc/sekisho")}) == Path("/etc/sekisho/a/b.key")
    assert read("/run/b.key", context={"base": Path("/etc/sekisho")}) == Path("/run/b.key")
    assert read("b.key") == Path("b.key")
    for wrong in ("", "a\0b"):
        with pytest.raises(ValueError, match="not a file name"):
            read(wrong)
