"""TLS of one lane, as a policy says it. What goes with what: ``rules``; what the files must be: ``files``."""

from __future__ import annotations

from pydantic import BaseModel, Field

from proxy.policy.values import STRICT, FilePath


class Tls(BaseModel):
    """TLS of one lane. The upstream's certificate is always verified."""

    model_config = STRICT

    certificate_file: FilePath | None = Field(
        None,
        description="PEM file with the certificate that the lane shows its clients, and those between it and what they "
        "trust. With it the lane speaks TLS only. On a forward lane: TLS to the proxy itself.",
    )
    key_file: FilePath | None = Field(
        None, description="PEM file, mode 0600, with the unencrypted key of certificate_file; it may be the same file."
    )
    client_ca_file: FilePath | None = Field(
        None,
        description="PEM file of the authorities of the lane's clients: who has no certificate of one is refused in "
        "the handshake.",
    )
    ca_file: FilePath | None = Field(
        None, description="PEM file of the authorities to trust for the upstream, instead of the public ones."
    )
    upstream_certificate_file: FilePath | None = Field(
        None, description="PEM file with the certificate that is shown to an upstream that asks for one."
    )
    upstream_key_file: FilePath | None = Field(
        None, description="PEM file, mode 0600, with the unencrypted key of upstream_certificate_file."
    )
    intercept_ca_file: FilePath | None = Field(
        None,
        description="Forward and transparent lanes: PEM file, mode 0600, with the key and certificate of the authority "
        "that signs for the hosts clients connect to. Without it TLS cannot be looked into, so it is refused.",
    )


PAIRS = (("certificate_file", "key_file"), ("upstream_certificate_file", "upstream_key_file"))
"""Which certificate belongs to which key."""
