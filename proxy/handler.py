"""One client connection: runs its layers, and closes it rather than let anything odd pass.

What differs from the host's handler: hooks run without a task of their own, a hook that fails is a refusal, a layer
that crashes closes the connection, nothing is read from a client that still waits for an answer, and nothing is logged
that holds a peer's bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import struct
import termios
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from mitmproxy import options as host_options
from mitmproxy.connection import Connection, Server
from mitmproxy.master import Master
from mitmproxy.proxy import commands, events, mode_specs, server_hooks
from mitmproxy.proxy.server import ConnectionIO
from mitmproxy.utils import asyncio_utils

from proxy.faults import place
from proxy.http.one import StopTimer
from proxy.http.pressure import PressedHandler
from proxy.http.request import Seat
from proxy.refusals import answer

CONNECT_SECONDS = 10.0
"""How long an upstream may take to accept a connection, and to finish its TLS handshake."""

HookFunction = Callable[[Any, Any], Awaitable[None] | None]

logger = logging.getLogger(__name__)


class Hooks(Protocol):
    """What the layers may ask for, by the host's hook names, and what is done when an answer fails."""

    functions: Mapping[str, HookFunction]
    """Each gets the hook's data and the seat; returns ``None`` when done, or an awaitable."""

    def failed(self, name: str, data: Any, seat: Any, where: str) -> None:
        """The hook did not come to an end. Must not raise."""

    def crashed(self, where: str) -> None:
        """A layer broke. Must not raise."""


class LaneConnectionHandler(PressedHandler):
    """Reads both sides, feeds the layers, writes what they say."""

    def __init__(
        self,
        master: Master,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        options: host_options.Options,
        mode: mode_specs.ProxyMode,
        seat: Seat,
        hooks: Hooks,
    ) -> None:
        super().__init__(master, reader, writer, options, mode)  # type: ignore[no-untyped-call]
        self.seat = seat
        self.hooks = hooks
        self.max_conns = defaultdict(contextlib.nullcontext)  # type: ignore[arg-type]  # the layers have the say
        self._events: deque[events.Event] = deque()
        self._feeding = False
        self.dead = False
        self.pending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.moved = asyncio.Event()
        self._turns = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wakeups: dict[commands.RequestWakeup, asyncio.TimerHandle] = {}

    async def handle_client(self) -> None:
        """Serves the client to its end. What is decided about its messages after that is for nobody."""
        try:
            await super().handle_client()
        finally:
            self.dead = True
            for timer in (*self._wakeups.values(), *self._timers.values()):
                timer.cancel()

    def feed(self, event: events.Event) -> None:
        """Gives an event to the layers and carries out their commands. Events that arise meanwhile wait their turn."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events and not self.dead:
                self.timeout_watchdog.register_activity()
                for command in self.layer.handle_event(self._events.popleft()):
                    self._carry_out(command)
        except Exception as error:  # noqa: BLE001 - a broken layer can only be closed
            self._crashed(error)
        finally:
            self._feeding = False
        self.moved.set()

    def _carry_out(self, command: commands.Command) -> None:
        if isinstance(command, commands.SendData):
            io = self.transports.get(command.connection)
            if io is not None and isinstance(io.writer, asyncio.StreamWriter) and not io.writer.is_closing():
                io.writer.write(command.data)
                if self.multiplexed:
                    self._watch(command.connection, io.writer)
        elif isinstance(command, commands.StartHook):
            self._start_hook(command)
        elif isinstance(command, commands.OpenConnection):
            task = asyncio_utils.create_task(self.open_connection(command), name="upstream", keep_ref=False)
            self.transports[command.connection] = ConnectionIO(handler=task)
        elif isinstance(command, commands.CloseConnection):
            if command.connection in self.transports:
                half = isinstance(command, commands.CloseTcpConnection) and command.half_close
                self.close_connection(command.connection, half)
        elif isinstance(command, commands.RequestWakeup):
            loop = asyncio.get_running_loop()
            self._wakeups[command] = loop.call_later(command.delay, self._wake, command)
        elif isinstance(command, StopTimer):
            timer = self._wakeups.pop(command.timer, None)
            if timer is not None:
                timer.cancel()
                self._events.append(events.Wakeup(command.timer))
        elif not isinstance(command, commands.Log):
            raise TypeError(f"unexpected command {type(command).__name__}")

    def _wake(self, command: commands.RequestWakeup) -> None:
        del self._wakeups[command]
        self.feed(events.Wakeup(command))

    # Hooks.

    def _start_hook(self, hook: commands.StartHook) -> None:
        pending = self._call(hook)
        if pending is None:
            self._events.append(events.HookCompleted(hook))
            return
        self.pending += 1
        task = asyncio.get_running_loop().create_task(self._settle(hook, pending))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._hook_done(hook, done))

    def _call(self, hook: commands.StartHook) -> Awaitable[None] | None:
        function = self.hooks.functions.get(hook.name)
        if function is None:
            return None
        try:
            return function(_data(hook), self.seat)
        except BaseException as error:  # noqa: BLE001 - fail closed on whatever it was
            self._failed(hook, error)
            return None

    async def _settle(self, hook: commands.StartHook, pending: Awaitable[None]) -> None:
        try:
            await pending
        except BaseException as error:  # noqa: BLE001 - likewise, a cancelled task included
            self._failed(hook, error)

    def _hook_done(self, hook: commands.StartHook, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.pending -= 1
        if task.cancelled():  # before its first step
            self.hooks.failed(hook.name, _data(hook), self.seat, "cancelled")
        self.feed(events.HookCompleted(hook))

    def _failed(self, hook: commands.StartHook, error: BaseException) -> None:
        where = "cancelled" if isinstance(error, asyncio.CancelledError) else "plane"
        logger.error("hook %s failed: %s", hook.name, place(error))
        self.hooks.failed(hook.name, _data(hook), self.seat, where)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """The host's entry for the hooks of connections themselves."""
        if isinstance(hook, server_hooks.ServerConnectHook):
            self._start_timer(hook.data.server)
        elif isinstance(hook, server_hooks.ServerConnectedHook):
            if not hook.data.server.tls:
                self.connected(hook.data.server)
        elif isinstance(hook, server_hooks.ServerConnectErrorHook | server_hooks.ServerDisconnectedHook):
            self.connected(hook.data.server)
        pending = self._call(hook)
        if pending is not None:
            await self._settle(hook, pending)
        if isinstance(hook, server_hooks.ServerConnectedHook) and hook.data.server.error:
            self._abort(hook.data.server)

    def _abort(self, server: Connection) -> None:
        """Ends a connection that has just been opened, before a byte is sent: nothing is written to a closing one."""
        io = self.transports.get(server)
        if io is not None and isinstance(io.writer, asyncio.StreamWriter):
            io.writer.transport.abort()

    # Deadlines.

    def _start_timer(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        self._timers[server.id] = loop.call_later(CONNECT_SECONDS, self._give_up, server)

    def _give_up(self, server: Server) -> None:
        io = self.transports.get(server)
        if io is not None and io.handler is not None:
            io.handler.cancel("no connection in time")

    def connected(self, server: Connection) -> None:
        """The upstream is ready, or gone: its deadline is over."""
        timer = self._timers.pop(server.id, None)
        if timer is not None:
            timer.cancel()

    async def on_timeout(self) -> None:
        """Nothing has moved for the idle timeout."""
        if self.seat.owes_answer and any(isinstance(connection, Server) for connection in self.transports):
            self.seat.upstream_failed("upstream-timeout", "")
        self._last_word("upstream-timeout")
        await super().on_timeout()

    # The end.

    def _crashed(self, error: Exception) -> None:
        logger.error("layer broke: %s", place(error))
        self.hooks.crashed("handler")
        self._last_word("internal")
        self.dead = True
        self.cut()

    def _last_word(self, word: str) -> None:
        io = self.transports.get(self.client)
        plain = not self.client.tls and not self.multiplexed
        if self.seat.owes_answer and plain and io and isinstance(io.writer, asyncio.StreamWriter):
            self.seat.owes_answer = False
            io.writer.write(answer(word))

    def has_unread(self) -> bool:
        """Whether the client has sent what the layers have not been given yet."""
        io = self.transports.get(self.client)
        if io is None or not isinstance(io.writer, asyncio.StreamWriter) or io.writer.is_closing():
            return False
        if getattr(io.reader, "_buffer", b""):
            return True
        try:
            waiting = fcntl.ioctl(io.writer.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
        except (OSError, ValueError):
            return False
        return struct.unpack("i", waiting) != (0,)

    def cut(self) -> None:
        """Closes both sides now."""
        for io in list(self.transports.values()):
            if io.handler is not None:
                io.handler.cancel("cut")
            elif isinstance(io.writer, asyncio.StreamWriter):
                io.writer.close()

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        """The host's log lines quote buffers of either peer: none is written."""
        if level >= logging.ERROR:
            self.hooks.crashed("handler")


def _data(hook: Any) -> Any:
    """What a hook is about: its one field."""
    (name,) = hook.__dataclass_fields__
    return getattr(hook, name)
