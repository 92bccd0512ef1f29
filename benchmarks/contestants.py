"""Who runs, each started here on one core: Sekisho, its host without inspection, mitmdump, ModSecurity, the origin."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.sidecar import Sidecar, free_port, launch, policy_document, write_policy

HERE = Path(__file__).resolve().parent
PROXY_CORES, LOAD_CORES = ({0}, {1}) if (os.cpu_count() or 1) > 1 else ({0}, {0})
ANSWER = '{"ok":true}'
MODULE = Path("/usr/lib/nginx/modules/ngx_http_modsecurity_module.so")
HOW_TO_INSTALL = "apt-get install nginx libnginx-mod-http-modsecurity"

SEKISHO, BLIND = "sekisho run, enforcing", "its host, no inspection"
STOCK, PRESIDIO = "mitmdump, no addon", "mitmdump + Presidio addon"
MODSECURITY, ORIGIN = "nginx + ModSecurity", "origin alone"


@dataclass(frozen=True, slots=True)
class Contestant:
    """Where it listens, and the process (with what it has started) that serves there."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time that it has taken so far."""
        return sum(_ticks(pid) for pid in family(self.pid)) / os.sysconf("SC_CLK_TCK")


def port_of(contestant: Contestant) -> int:
    """Where it listens."""
    return int(contestant.url.rstrip("/").rpartition(":")[2])


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(below for child in children for below in family(int(child)))]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident and proportional bytes of a process and its children."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """From /proc, of the process ``pid`` and all below it."""
    sums = {"Rss": 0, "Pss": 0}
    for member in family(pid):
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0]) * 1024
    return Memory(sums["Rss"], sums["Pss"])


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile has only these cores."""
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, former)


@contextlib.contextmanager
def running(command: list[str], cores: set[int], port: int, log: Path) -> Iterator[Contestant]:
    """The process, pinned and listening on ``port``; ended at the end."""
    with log.open("wb") as out, pinned(cores):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        _wait_for(port, process, log)
        yield Contestant(f"http://127.0.0.1:{port}/", process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"does not listen:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.05)
        else:
            return


NGINX = """{modules}
daemon off; pid {base}/nginx.pid; worker_processes 1; error_log {base}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 2m;
  client_body_temp_path {base}/body; proxy_temp_path {base}/p; fastcgi_temp_path {base}/f; uwsgi_temp_path {base}/u;
  scgi_temp_path {base}/s;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 32; }}
  server {{ listen 127.0.0.1:{port}; default_type application/json; location / {{ {location} }} }}
}}
"""
ORIGIN_LOCATION = f"return 200 '{ANSWER}';"
INSPECTING_LOCATION = """
    proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    modsecurity on; modsecurity_rules_file {rules};
"""
RULES = """SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 67108864
SecRequestBodyNoFilesLimit 67108864
SecArgumentsLimit 1000000
SecResponseBodyAccess On
SecResponseBodyMimeType application/json
SecPcreMatchLimit 1000000
SecPcreMatchLimitRecursion 1000000
SecRule REQUEST_HEADERS:Content-Type "@contains json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS|ARGS_NAMES|REQUEST_HEADERS|REQUEST_URI "@verifyCC \\d{13,19}" "id:2,phase:2,deny,status:403,nolog"
SecRule RESPONSE_BODY|RESPONSE_HEADERS "@verifyCC \\d{13,19}" "id:3,phase:4,deny,status:403,nolog"
"""
"""The whole message of either direction, as a lane reads it, and nothing of the Core Rule Set."""


def nginx() -> str | None:
    """Its program, if it is installed."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _nginx(base: Path, port: int, origin: int, location: str, modules: str = "") -> list[str]:
    base.mkdir()
    config = base / "nginx.conf"
    config.write_text(NGINX.format(base=base, port=port, origin=origin, location=location, modules=modules))
    return [str(nginx()), "-e", str(base / "nginx.err"), "-c", str(config)]


@contextlib.contextmanager
def origin(base: Path) -> Iterator[Contestant]:
    """Uses nginx where it is installed, a small asyncio server elsewhere; on the load's core."""
    port = free_port()
    if nginx():
        command = _nginx(base / "origin", port, port, ORIGIN_LOCATION)
    else:
        command = [sys.executable, str(HERE / "load.py"), "--origin", str(port)]
    with running(command, LOAD_CORES, port, base / "origin.log") as found:
        yield found


@contextlib.contextmanager
def modsecurity(base: Path, origin_port: int) -> Iterator[Contestant]:
    """Runs nginx as a reverse proxy with ModSecurity's card operator over everything. Needs ``MODULE``."""
    port, rules = free_port(), base / "modsecurity.conf"
    rules.write_text(RULES)
    location = INSPECTING_LOCATION.format(rules=rules)
    command = _nginx(base / "modsecurity", port, origin_port, location, f"load_module {MODULE};")
    with running(command, PROXY_CORES, port, base / "modsecurity.log") as found:
        yield found


@contextlib.contextmanager
def mitmdump(base: Path, origin_port: int, *options: str) -> Iterator[Contestant]:
    """Stock mitmdump in reverse mode, as quiet as it can be."""
    port = free_port()
    program = [sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()"]
    mode = ["--mode", f"reverse:http://127.0.0.1:{origin_port}", "--listen-host", "127.0.0.1", "-p", str(port)]
    command = [*program, "-q", *mode, "--set", f"confdir={base}", "--set", "flow_detail=0", *options]
    with running(command, PROXY_CORES, port, base / f"mitmdump-{port}.log") as found:
        yield found


def _lane(base: Path, origin_port: int) -> dict[str, object]:
    base.mkdir()
    lane = {"name": "bench", "upstream": f"http://127.0.0.1:{origin_port}", "role": "logging"}
    return policy_document(base, [lane])


@contextlib.contextmanager
def sidecar(base: Path, origin_port: int, *arguments: str, cores: set[int] = PROXY_CORES) -> Iterator[Sidecar]:
    """``sekisho run``, enforcing, with one logging lane."""
    with pinned(cores):
        found = launch(base, _lane(base, origin_port), arguments=arguments)
    try:
        yield found
    finally:
        found.stop()


@contextlib.contextmanager
def blind(base: Path, origin_port: int) -> Iterator[Contestant]:
    """The own host with a guard that reads nothing."""
    document = _lane(base, origin_port)
    path = write_policy(base, document)
    port = Sidecar(base, document, None).port("bench")  # type: ignore[arg-type]  # never started by it
    with running([sys.executable, str(HERE / "uninspected.py"), str(path)], PROXY_CORES, port, base / "log") as found:
        yield found
