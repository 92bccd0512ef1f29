"""The sidecar's processes, as the kernel shows them here: whose they are, and what they may."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from proxy.bypass import sockets
from proxy.doctor.rows import Row, Subject
from proxy.doctor.sidecar import Sidecar, reached
from proxy.doctor.wire import Wire
from proxy.memory import NO_CORE
from proxy.policy import Policy
from proxy.policy.values import Address

PROC = Path("/proc")
CORE_PATTERN = "sys/kernel/core_pattern"
OTHER_FILES = 64
"""Descriptors that are no connections, roughly: files, listeners, the engine's own."""
CAPABILITIES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill"),
    *("setgid", "setuid", "setpcap", "linux_immutable", "net_bind_service", "net_broadcast"),
    *("net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio"),
    *("sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write"),
    *("audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm"),
    *("block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"),
)
"""By their bit (linux/capability.h)."""
_HIDDEN = "its process is not visible here: run this as its user or as root, where it runs"


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the sidecar."""

    pid: int
    uid: int
    groups: frozenset[int]
    capabilities: int
    """Effective, a bit each."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Soft limits by the kernel's name of them; -1 is none."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who serves the admin address."""

    uid: int | None = None
    processes: tuple[Process, ...] = ()
    """The one that answers and its children; none where they are not visible."""

    @property
    def reload(self) -> str:
        """What makes it read its files again. Workers are younger than their supervisor."""
        pid = min((one.pid for one in self.processes), default=0)
        return f"kill -HUP {pid}" if pid else "send the sidecar a SIGHUP"


def find(admin: Address, proc: Path = PROC) -> Owner:
    """Asks the admin address, and looks whose the other end of the connection is."""
    where = reached(admin)
    try:
        with Wire.to(where.host, where.port) as wire:
            wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wire.receive(until=b"\r\n\r\n")
            table = sockets.read(proc / "net").connections
            ends = (where.port, wire.port)
            other = next((row for row in table if (row.local.port, row.remote.port) == ends), None)
            if other is None:
                return Owner()
            pids = [pid for pid in _pids(proc) if _holds(proc / pid / "fd", other.inode)]
            return Owner(other.uid, tuple(_family(proc, pids)))
    except OSError:
        return Owner()


def _pids(proc: Path) -> list[str]:
    return [path.name for path in proc.iterdir() if path.name.isdigit()]


def _holds(descriptors: Path, inode: int) -> bool:
    try:
        return any(str(path.readlink()) == f"socket:[{inode}]" for path in descriptors.iterdir())
    except OSError:
        return False


def _family(proc: Path, pids: list[str]) -> Iterator[Process]:
    for pid in _pids(proc):
        try:
            status = (proc / pid / "status").read_text(errors="replace")
            limits = (proc / pid / "limits").read_text(errors="replace")
        except OSError:
            continue
        fields = dict(re.findall(r"^(\w+):\t(.*)$", status, re.MULTILINE))
        if pid in pids or fields.get("PPid") in pids:
            yield process(int(pid), fields, limits)


def process(pid: int, status: Mapping[str, str], limits: str) -> Process:
    """A process, from its ``status`` and ``limits`` (proc_pid_status(5), proc_pid_limits(5))."""
    soft = re.findall(r"^(Max [a-z ]+?) {2,}(\d+|unlimited) ", limits, re.MULTILINE)
    groups = frozenset(int(group) for name in ("Gid", "Groups") for group in status.get(name, "").split())
    return Process(
        pid,
        int(status["Uid"].split()[1]),
        groups,
        int(status.get("CapEff", "0"), 16),
        {name: -1 if value == "unlimited" else int(value) for name, value in soft},
    )


def rows(policy: Policy, owner: Owner, sidecar: Sidecar, proc: Path = PROC) -> Iterator[Row]:
    """Privileges, core dumps and descriptors."""
    yield from _privileges(owner)
    yield from _core_dumps(owner, proc)
    yield from _descriptors(policy, owner, sidecar)


def _privileges(owner: Owner) -> Iterator[Row]:
    at = Subject("privileges")
    held = 0
    for one in owner.processes:
        held |= one.capabilities
    names = [name for bit, name in enumerate(CAPABILITIES) if held >> bit & 1]
    drop = "systemd: CapabilityBoundingSet=  Docker: --cap-drop ALL  Kubernetes: capabilities: {drop: [ALL]}"
    if owner.uid is None:
        yield at.skipped(_HIDDEN)
    elif owner.uid == 0:
        run = "systemd: User=sekisho  Docker: --user 10001  Kubernetes: runAsNonRoot: true"
        yield at.warning("the sidecar runs as root: it needs no privilege", f"run it as a user of its own: {run}")
    elif names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        yield at.warning(f"the sidecar holds capabilities that it does not need: {shown}", drop)
    elif not owner.processes:
        yield at.skipped(f"user {owner.uid}, not root; its capabilities: {_HIDDEN}")
    else:
        yield at.ok(f"user {owner.uid}, no capabilities")


def _core_dumps(owner: Owner, proc: Path) -> Iterator[Row]:
    at = Subject("core-dumps")
    if not owner.processes:
        yield at.skipped(_HIDDEN)
        return
    try:
        pattern = (proc / CORE_PATTERN).read_text().strip()
    except OSError:
        pattern = ""
    allowed = any(not 0 <= one.limits.get("Max core file size", -1) <= NO_CORE for one in owner.processes)
    if allowed:
        where = f"to {pattern[1:].split()[0]}" if pattern.startswith("|") else f'as "{pattern}"'
        seen = f"a crash writes memory {where}, and what was under inspection is in it"
        yield at.warning(seen, "systemd: LimitCORE=0  Docker: --ulimit core=0  shell: ulimit -c 0, before sekisho run")
    else:
        yield at.ok("off")


def _descriptors(policy: Policy, owner: Owner, sidecar: Sidecar) -> Iterator[Row]:
    at = Subject("descriptors")
    firsts = [next(route for _, route in lane.routes) for lane in policy.lanes if lane.routes]
    needed = OTHER_FILES + sum(2 * route.connections for route in firsts)
    found = [one.limits["Max open files"] for one in owner.processes if "Max open files" in one.limits]
    said = sidecar.value("process_max_fds")
    if not found and said is None:
        yield at.skipped(_HIDDEN)
        return
    most = min(found) if found else int(said or 0)
    if 0 <= most < needed:
        seen = f"{most} files may be open, and limits.connections of all lanes need {needed} (two each)"
        fix = f"systemd: LimitNOFILE={needed}  Docker: --ulimit nofile={needed}  shell: ulimit -n {needed}; or lower it"
        yield at.warning(seen, fix)
    else:
        yield at.ok(f"{'any number of' if most < 0 else most} files may be open, {needed} are needed at most")
