"""A pod in small, in a network namespace of its own: a sidecar, the sinks of its lanes, and applications under other users.

Run as ``unshare --net python around.py DIRECTORY WORKERS CLIENT…``; prints what /metrics and the audit file say in the end.
A client is ``user:tcp:host:port`` or ``user:udp:host:port``; ``{sink}`` and ``{lane}`` are ports. Each connects, and
stays so until the watch has looked several times. What ``REDIRECTED_UID`` opens is led to the lane by the kernel.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.sidecar import Sidecar, free_port, launch, policy_document

SETUP = (
    "ip link set lo up",
    "ip address add 10.9.0.5/32 dev lo",
    "ip route add default dev lo src 10.9.0.5",  # what is sent into the internet comes back, and nobody is there
)
SINK_UID, REDIRECTED_UID = 54100, 54005
REDIRECT = f"iptables -t nat -A OUTPUT -p tcp -m owner --uid-owner {REDIRECTED_UID} -j REDIRECT --to-ports"
CLIENT = """
import os, socket, sys
user, kind, host, port = sys.argv[1:]
os.setuid(int(user))
client = socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
client.settimeout(0.2)
try:
    client.connect((host, int(port)))
    if kind == "tcp":
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: a.example\\r\\n\\r\\n")
except TimeoutError:
    client.setblocking(False)
    client.connect_ex((host, int(port)))
print("connected", flush=True)
sys.stdin.read()
"""


def looked_at(sidecar: Sidecar) -> float:
    return float(
        re.search(r"^sekisho_bypass_watch_timestamp_seconds (\S+)$", sidecar.admin("/metrics"), re.MULTILINE)[1]
    )


def wait_for_looks(sidecar: Sidecar, number: int) -> None:
    for _ in range(number):
        last, ends = looked_at(sidecar), time.monotonic() + 60
        while looked_at(sidecar) <= last:
            if time.monotonic() > ends:
                raise RuntimeError(f"nobody looks:\n{sidecar.output().decode()}")
            time.sleep(0.02)


def main(base: Path, workers: str, clients: list[str]) -> None:
    for command in SETUP:
        subprocess.run(command.split(), check=True)
    with ExitStack() as stack:
        os.seteuid(SINK_UID)  # a listener of the sidecar's own user would be a lane of it
        sink = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=50))
        os.seteuid(0)
        ports = {"sink": sink.getsockname()[1], "lane": free_port(), "admin": free_port()}
        lane = {
            "name": "app-logs",
            "listen": f"127.0.0.1:{ports['lane']}",
            "upstream": f"http://localhost:{ports['sink']}",
            "role": "logging",
        }
        policy = policy_document(
            base,
            [lane],
            admin={"listen": f"127.0.0.1:{ports['admin']}"},
            bypass={"watch_seconds": 0.05, "allowed_uids": [54999]},
        )
        subprocess.run([*REDIRECT.split(), str(ports["lane"])], check=True)
        sidecar = launch(base, policy, arguments=("--workers", workers))
        stack.callback(sidecar.stop, signal.SIGKILL)  # a sink that never answers would have it drain
        wait_for_looks(sidecar, 1)
        for client in clients:
            who = client.format(**ports).split(":")
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CLIENT, *who],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.stdin.close)
            if process.stdout.readline() != b"connected\n":
                raise RuntimeError(client)
        wait_for_looks(sidecar, 4)
        page = sidecar.admin("/metrics")
        counted = re.findall(r'^sekisho_bypass_total\{kind="(\w+)",lane="([\w-]+)"\} (\S+)$', page, re.MULTILINE)
        moments = re.findall(r'^sekisho_bypass_timestamp_seconds\{kind="(\w+)",lane="([\w-]+)"\}', page, re.MULTILINE)
        records = [line for line in sidecar.audit_lines() if line["kind"] == "bypass"]
    found = {"ports": ports, "counted": sorted(counted), "moments": sorted(moments), "records": records}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
