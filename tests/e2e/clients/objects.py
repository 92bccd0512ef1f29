"""An S3 server: moto, on threads, over HTTP and over TLS."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any

import boto3
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

BUCKET = "shop-exports"
KEYS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "none", "region_name": "ap-northeast-1"}


def s3(url: str, *, verify: str | None = None, **options: Any) -> Any:
    """A boto3 S3 client of that endpoint; ``options`` go into its ``Config``."""
    # One attempt: a refusal must be told at once, and a second try would hide a failure of the first.
    settings = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}} | options
    return boto3.client("s3", endpoint_url=url, config=Config(**settings), verify=verify, **KEYS)


class ObjectStore:
    """The server. ``requests`` holds the WSGI environment of each request that has arrived."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self.requests: list[dict[str, Any]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self._servers = [self._listen(None), self._listen(tls)]
        self.url, self.url_tls = (
            f"{scheme}://127.0.0.1:{server.port}"
            for scheme, server in zip(("http", "https"), self._servers, strict=True)
        )
        self._direct = s3(self.url)
        self._direct.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"})

    def everything(self) -> dict[str, bytes]:
        """Each object that is stored, read without the sidecar."""
        listed = self._direct.list_objects_v2(Bucket=BUCKET).get("Contents", ())
        return {item["Key"]: self.read(item["Key"]) for item in listed}

    def read(self, key: str) -> bytes:
        """One object, read without the sidecar."""
        return bytes(self._direct.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def empty(self) -> None:
        """Forgets all objects, half-done uploads and requests."""
        for key in self.everything():
            self._direct.delete_object(Bucket=BUCKET, Key=key)
        self.requests.clear()

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _listen(self, tls: ssl.SSLContext | None) -> BaseWSGIServer:
        server = make_server("127.0.0.1", 0, self._serve, threaded=True, ssl_context=tls)
        threading.Thread(target=server.serve_forever, name="objects", daemon=True).start()
        return server

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        self.requests.append(dict(environ))
        return self._app(environ, start_response)
