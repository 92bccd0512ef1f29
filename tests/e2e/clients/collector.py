"""An OpenTelemetry collector's gRPC door: it keeps each export as it arrived."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc

_SERVICES = {
    "opentelemetry.proto.collector.logs.v1.LogsService": "Export",
    "opentelemetry.proto.collector.trace.v1.TraceService": "Export",
}


class Collector:
    """Listens from the start; ``stop`` ends it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        handler = grpc.unary_unary_rpc_method_handler(self._keep)
        for service, method in _SERVICES.items():
            rows = {method: handler}
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, rows),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _keep(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.received.append(request)
        return b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def only(self) -> bytes:
        """The one export that arrived."""
        (export,) = self.received
        return export

    def stop(self) -> None:
        self._server.stop(None).wait()
