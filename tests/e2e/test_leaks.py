"""The whole program searched for card numbers: whatever is sent through it, in whatever place and encoding, none of it
stands in its output, audit file, metrics, answers or directory; in enforce mode, none of it reaches an upstream either."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import itertools
import json
import re
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import aiohttp
import brotli
import httpx
import pytest
import requests
import zstandard
from aiohttp import web

from tests.published_numbers import PUBLISHED, card_numbers_in
from tests.sidecar import Sidecar, launch, policy_document, prepared

NUMBERS = [number for number, _brand, _luhn in PUBLISHED]
LANES = ("logs", "store", "partner", "gmo", "shop", "egress")
ALLOWED_ANSWERS = {200, 400, 403, 413, 422, 431, 502, 503}


@dataclass(frozen=True)
class Request:
    """One request, as bytes that every client sends alike."""

    path: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    method: str = "POST"


def as_json(value: object, **headers: str) -> Request:
    return Request(headers={"Content-Type": "application/json", **headers}, body=json.dumps(value).encode())


def packed(how: Callable[[bytes], bytes], name: str, pan: str) -> Request:
    request = as_json({"card": {"number": pan}})
    return Request("/", request.headers | {"Content-Encoding": name}, how(request.body))


def grouped(pan: str, by: str) -> str:
    return by.join(pan[at : at + 4] for at in range(0, len(pan), 4))


def multipart(pan: str) -> Request:
    body = f'--b\r\nContent-Disposition: form-data; name="card_number"\r\n\r\n{pan}\r\n--b--\r\n'
    return Request("/", {"Content-Type": "multipart/form-data; boundary=b"}, body.encode())


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")

PLACES: dict[str, Callable[[str], Request]] = {
    "path": lambda pan: Request(f"/card/{pan}/charge"),
    "query": lambda pan: Request(f"/pay?card_number={pan}&x=1", method="GET"),
    "header": lambda pan: Request("/", {"X-Card-Number": pan}),
    "header-name": lambda pan: Request("/", {f"X-Card-{pan}": "1"}),
    "user-agent": lambda pan: Request("/", {"User-Agent": f"shop/1 card={pan}"}),
    "referer": lambda pan: Request("/", {"Referer": f"https://shop.example/pay?cardNo={pan}"}),
    "cookie": lambda pan: Request("/", {"Cookie": f"sid=1; card_number={pan}"}),
    "basic": lambda pan: Request("/", {"Authorization": "Basic " + base64.b64encode(f"card:{pan}".encode()).decode()}),
    "json": lambda pan: as_json({"card": {"number": pan}}),
    "json-number": lambda pan: as_json({"card": {"number": int(pan)}}),
    "json-key": lambda pan: as_json({"cards": {pan: {"ok": True}}}),
    "json-escapes": lambda pan: Request(
        "/", {"Content-Type": "application/json"}, b'{"cardNo":"' + b"".join(b"\\u%04x" % ord(d) for d in pan) + b'"}'
    ),
    "json-in-json": lambda pan: as_json({"message": json.dumps({"cardNo": pan})}),
    "text-in-groups": lambda pan: Request(
        "/", {"Content-Type": "text/plain"}, f"card number: {grouped(pan, ' ')}".encode()
    ),
    "text-with-dashes": lambda pan: Request(
        "/", {"Content-Type": "text/plain"}, f"card number: {grouped(pan, '-')}".encode()
    ),
    "form": lambda pan: Request("/", FORM, f"CardNo={pan}&Method=1".encode()),
    "form-escaped-twice": lambda pan: Request(
        "/", FORM, b"CardNo=" + "".join(f"%25{ord(d):02x}" for d in pan).encode()
    ),
    "form-idpass": lambda pan: Request(
        "/payment/ExecTran.idPass", FORM, f"AccessID=a&CardNo={pan}&Expire=3012".encode()
    ),
    "multipart": multipart,
    "xml": lambda pan: Request(
        "/", {"Content-Type": "text/xml"}, f"<card><cardNumber>{pan}</cardNumber></card>".encode()
    ),
    "full-width": lambda pan: Request(
        "/", {"Content-Type": "text/plain; charset=utf-8"}, f"カード番号 {pan.translate(FULL_WIDTH)}".encode()
    ),
    "utf-16": lambda pan: Request(
        "/", {"Content-Type": "text/plain; charset=utf-16"}, f"card number {pan}".encode("utf-16")
    ),
    "base64": lambda pan: as_json({"payload": base64.b64encode(f"card_number={pan};".encode()).decode()}),
    "gzip": lambda pan: packed(gzip.compress, "gzip", pan),
    "gzip-second-member": lambda pan: packed(lambda body: gzip.compress(b"[1]\n") + gzip.compress(body), "gzip", pan),
    "deflate": lambda pan: packed(zlib.compress, "deflate", pan),
    "brotli": lambda pan: packed(brotli.compress, "br", pan),
    "zstd": lambda pan: packed(zstandard.compress, "zstd", pan),
    "gzip-cut-off": lambda pan: packed(lambda body: gzip.compress(body)[:-6], "gzip", pan),
    "unknown-encoding": lambda pan: packed(bytes, "rot13", pan),
    "body-too-large": lambda pan: Request("/", {"Content-Type": "text/plain"}, f"card={pan} ".encode() * 4000),
    "header-too-large": lambda pan: Request("/", {f"X-{n}": f"card={pan}" * 60 for n in range(20)}),
}
RAW = {  # what no client library sends
    "request-line": "GET /card/{} HTTP/1.1 {}\r\nHost: x\r\n\r\n",
    "version": "GET / HTTP/{}\r\nHost: x\r\n\r\n",
    "method": "CARD{} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "header-without-colon": "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n",
    "host": "GET / HTTP/1.1\r\nHost: {}\r\n\r\n",
    "two-lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 16\r\n\r\n{}",
    "length-is-the-number": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
    "chunk-size": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
    "chunk-extension": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;c={}\r\na\r\n0\r\n\r\n",
    "trailer": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Card: {}\r\n\r\n",
    "no-http": "{}\r\n\r\n",
    "connect": "CONNECT {}:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute": "GET http://{}.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    "body-cut-off": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\ncard={}",
}
ANSWERS: dict[str, Callable[[str], web.Response]] = {
    "json": lambda pan: web.json_response({"card": {"number": pan}}),
    "header": lambda pan: web.Response(headers={"X-Card-Number": pan}),
    "cookie": lambda pan: web.Response(headers={"Set-Cookie": f"card_number={pan}; Path=/"}),
    "location": lambda pan: web.Response(status=302, headers={"Location": f"/done?card_number={pan}"}),
    "reason": lambda pan: web.Response(status=400, reason=f"bad card {pan}"),
    "gzip": lambda pan: web.Response(
        body=gzip.compress(json.dumps({"cardNo": pan}).encode()),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
    ),
    "error-page": lambda pan: web.Response(status=500, text=f"<p>card number {grouped(pan, ' ')} refused</p>"),
}


UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read(),
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


class Origin:
    """A real aiohttp server on a thread of its own that keeps all it receives, and answers as the path says."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def start() -> None:
            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{rest:.*}", self.handle)
            self.runner = web.AppRunner(app, access_log=None, auto_decompress=False)
            await self.runner.setup()
            site = web.TCPSite(self.runner, "127.0.0.1", 0)
            await site.start()
            self.port = self.runner.addresses[0][1]
            ready.set()

        def serve() -> None:
            self.loop.run_until_complete(start())
            self.loop.run_forever()
            self.loop.run_until_complete(self.runner.cleanup())
            self.loop.close()

        self.thread = threading.Thread(target=serve)
        self.thread.start()
        assert ready.wait(60)

    async def handle(self, request: web.Request) -> web.Response:
        heads = b"".join(name + b": " + value + b"\n" for name, value in request.raw_headers)
        body = await request.read()
        plain = UNPACKED.get(request.headers.get("Content-Encoding", ""), bytes)
        try:
            body += plain(body)
        except (OSError, EOFError, zlib.error, brotli.error, zstandard.ZstdError) as error:
            body += type(error).__name__.encode()
        self.received.append(f"{request.method} {request.raw_path}\n".encode() + heads + body)
        if match := re.fullmatch(r"/answer/([a-z-]+)/(\d+)", request.path):
            return ANSWERS[match[1]](NUMBERS[int(match[2])])
        return web.json_response({"ok": True})

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


# --- real clients: each gives status, headers and body as one piece of bytes ---------------------------------------


def with_requests(url: str, request: Request, proxy: str) -> tuple[int, bytes]:
    with requests.Session() as session:
        session.trust_env = False
        proxies = {"http": proxy} if proxy else {}
        answer = session.request(
            request.method,
            url,
            headers=request.headers,
            data=request.body,
            proxies=proxies,
            timeout=60,
            allow_redirects=False,
        )
        return answer.status_code, f"{answer.reason}{answer.headers}".encode() + answer.content


def with_httpx(url: str, request: Request, proxy: str) -> tuple[int, bytes]:
    with httpx.Client(proxy=proxy or None, trust_env=False, verify=False, timeout=60) as client:
        answer = client.request(request.method, url, headers=request.headers, content=request.body)
        return answer.status_code, f"{answer.reason_phrase}{answer.headers.raw}".encode() + answer.content


def with_aiohttp(url: str, request: Request, proxy: str) -> tuple[int, bytes]:
    async def send() -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(60)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                proxy=proxy or None,
                allow_redirects=False,
            ) as answer,
        ):
            return answer.status, f"{answer.reason}{answer.raw_headers}".encode() + await answer.read()

    return asyncio.run(send())


def with_curl(url: str, request: Request, proxy: str) -> tuple[int, bytes]:
    headers = [argument for name, value in request.headers.items() for argument in ("-H", f"{name}: {value}")]
    through = ["--proxy", proxy] if proxy else []
    run = subprocess.run(
        [
            "curl",
            "-sS",
            "-q",
            "-i",
            "-m",
            "60",
            "--compressed",
            "-X",
            request.method,
            *through,
            *headers,
            "--data-binary",
            "@-",
            url,
        ],
        input=request.body,
        capture_output=True,
        check=True,
    )
    return int(re.findall(rb"^HTTP/1.[01] (\d+)", run.stdout, re.MULTILINE)[-1]), run.stdout


CLIENTS = {"requests": with_requests, "httpx": with_httpx, "aiohttp": with_aiohttp, "curl": with_curl}


def raw(port: int, data: bytes) -> bytes:
    """Whatever comes back for these bytes. The sending half is closed once an answer has begun, or none comes."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.3) as connection:
        connection.sendall(data)
        try:
            got = connection.recv(65536)
        except TimeoutError:
            got = b""
        try:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            while piece := connection.recv(65536):
                got += piece
        except OSError:
            pass
    return got


# --- the search ----------------------------------------------------------------------------------------------------


def base64_cores(text: bytes) -> Iterator[bytes]:
    """The characters that ``text`` always gives in base64, at each of its three alignments."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + text)
        first = -(-shift * 8 // 6)
        yield encoded[first : (shift + len(text)) * 8 // 6]


def disguises(number: str) -> set[bytes]:
    """Ways in which a number could stand in an output."""
    digits = number.encode()
    forms = {
        digits,
        digits[::-1],
        digits.hex().encode(),  # of digits: the same in either case
        number.translate(FULL_WIDTH).encode(),
        "".join(f"%{ord(d):02x}" for d in number).encode(),
        number.encode("utf-16-le"),
        *(grouped(number, by).encode() for by in (" ", "-", ".", ", ", "%20", "+")),
        *base64_cores(digits),
    }
    last = digits[-10:]
    return forms | ({last} if len(set(last)) > 2 else set())


DISGUISES = {form: index for index, number in enumerate(NUMBERS) for form in disguises(number)}


def found_in(data: bytes) -> list[str]:
    """Which numbers, by their index, stand in ``data`` and in which form; never the digits."""
    hits = [f"number {index} as {len(form)} bytes" for form, index in DISGUISES.items() if form in data]
    return hits + [f"a card number at {start}" for start, _ in card_numbers_in(data.decode("latin-1"))]


def test_the_search_finds_what_it_should():
    number = NUMBERS[0]
    for text in (
        number,
        grouped(number, "-"),
        number[::-1],
        f"x{number}y",
        number[-10:] if len(set(number)) > 2 else number,
    ):
        assert found_in(text.encode())
    for pad in ("", "a", "ab"):
        assert found_in(base64.b64encode(f"{pad}{number}zz".encode()))
    assert found_in(b"411111******1111 and 2026-11-22T09:00:00.123456Z") == []


# --- the run -------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """What was seen while everything was sent."""

    sidecar: Sidecar
    origin: Origin
    mode: str
    answers: dict[str, bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    metrics: bytes = b""
    exit_code: int = -1


def url_of(run: Run, lane: str, path: str) -> tuple[str, str]:
    """(URL, proxy) for a request on ``lane``."""
    if lane == "egress":
        return f"http://127.0.0.1:{run.origin.port}{path}", run.sidecar.url("egress")
    return run.sidecar.url(lane, path), ""


def send_everything(run: Run) -> None:
    """Each number in each place; lanes and clients take turns, so that each place meets each of both."""
    clients = list(CLIENTS)

    def send(name: str, client: str, url: str, request: Request, proxy: str) -> None:
        run.statuses[name], run.answers[name] = CLIENTS[client](url, request, proxy)

    def send_raw(name: str, lane: str, data: bytes) -> None:
        run.answers[name] = raw(run.sidecar.port(lane), data)

    with ThreadPoolExecutor(4) as pool:
        sent = []
        for (index, number), (turn, (place, make)) in itertools.product(enumerate(NUMBERS), enumerate(PLACES.items())):
            lane, client = LANES[(index + turn) % len(LANES)], clients[(index // len(LANES) + turn) % len(clients)]
            name = f"{place} {index} {lane} {client}"
            made = make(number)
            request = replace(made, headers=made.headers | {"X-Sent": name})
            url, proxy = url_of(run, lane, request.path)
            sent.append(pool.submit(send, name, client, url, request, proxy))
        for index, (turn, kind) in itertools.product(range(len(NUMBERS)), enumerate(ANSWERS)):
            lane, client = LANES[(index + turn) % len(LANES)], clients[(index // len(LANES) + turn) % len(clients)]
            url, proxy = url_of(run, lane, f"/answer/{kind}/{index}")
            name = f"answer-{kind} {index} {lane} {client}"
            sent.append(pool.submit(send, name, client, url, Request(method="GET"), proxy))
        for index, (what, text) in itertools.product(range(0, len(NUMBERS), 9), RAW.items()):
            for lane in ("logs", "egress"):
                data = text.replace("{}", NUMBERS[index]).encode()
                sent.append(pool.submit(send_raw, f"raw-{what} {index} {lane}", lane, data))
        for one in sent:
            one.result()


def admin_pages(sidecar: Sidecar) -> bytes:
    pages = [sidecar.admin(path).encode() for path in ("/metrics", "/healthz", "/readyz")]
    ask = urllib.request.Request(
        f"http://{sidecar.policy['admin']['listen']}/metrics", headers={"Accept": "application/openmetrics-text"}
    )
    with urllib.request.urlopen(ask, timeout=60) as answer:
        return b"\n".join([*pages, answer.read()])


@pytest.fixture(scope="module", params=["enforce", "monitor"])
def run(request, tmp_path_factory) -> Iterator[Run]:
    base = tmp_path_factory.mktemp(f"leaks-{request.param}")
    origin = Origin()
    upstream = f"http://127.0.0.1:{origin.port}"
    lanes = [
        {"name": "logs", "upstream": upstream, "role": "logging", "on_violation": "redact"},
        {"name": "store", "upstream": upstream, "role": "storage"},
        {
            "name": "partner",
            "upstream": upstream,
            "role": "external",
            "on_violation": "redact",
            "redaction": "fingerprint",
        },
        {"name": "gmo", "upstream": upstream, "role": "payment-gateway"},
        {"name": "shop", "upstream": upstream, "role": "shop"},
        {"name": "egress", "upstream": "forward", "destinations": [{"hosts": ["127.0.0.1"], "role": "storage"}]},
    ]
    try:
        limits = {"body": "64KiB", "header": "16KiB"}
        sidecar = launch(base, policy_document(base, lanes, mode=request.param, limits=limits), program=prepared())
        try:
            run = Run(sidecar, origin, request.param)
            send_everything(run)
            run.metrics = admin_pages(sidecar)
        finally:
            run.exit_code = sidecar.stop()
        yield run
    finally:
        origin.stop()


def test_it_ends_as_it_should(run):
    assert run.exit_code == 0


def test_everything_was_answered(run):
    assert {name: code for name, code in run.statuses.items() if code not in ALLOWED_ANSWERS | {302, 500}} == {}
    assert len(run.statuses) == len(NUMBERS) * (len(PLACES) + len(ANSWERS))


def test_no_number_in_output(run):
    assert found_in(run.sidecar.output()) == []


def test_no_number_in_metrics(run):
    assert b"sekisho_violations_total{" in run.metrics
    assert found_in(run.metrics) == []


def test_no_number_in_the_audit_file(run):
    path = run.sidecar.base / run.sidecar.policy["audit"]["path"]
    assert len(run.sidecar.audit_lines()) > len(NUMBERS)
    assert found_in(path.read_bytes()) == []


def test_no_number_in_any_file_it_could_write(run):
    files = [path for path in run.sidecar.base.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"stdout", "stderr", "sekisho.yaml", "audit.jsonl"}
    assert {path.name: hits for path in files if (hits := found_in(path.read_bytes() + path.name.encode()))} == {}


def test_no_number_in_its_answers(run):
    """In monitor mode upstream answers pass unchanged; only what Sekisho itself says is searched then."""
    own = {
        name: answer
        for name, answer in run.answers.items()
        if run.mode == "enforce" or (not name.startswith("answer-") and b"urn:sekisho" in answer)
    }
    assert own
    assert {name: hits for name, answer in own.items() if (hits := found_in(answer))} == {}


def test_upstreams_receive_numbers_only_in_monitor_mode(run):
    reached = {sent_as(data) for data in run.origin.received if found_in(data)}
    if run.mode == "monitor":
        assert len(reached) > len(NUMBERS) * 10, "the search would have noticed"
    else:
        assert sorted(reached) == []


def sent_as(data: bytes) -> str:
    """The name of the request that arrived as ``data``."""
    match = re.search(rb"^x-sent: (.*)$", data, re.MULTILINE | re.IGNORECASE)
    return match[1].decode() if match else "unnamed"
