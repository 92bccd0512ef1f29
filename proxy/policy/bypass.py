"""The part of a policy about what goes around Sekisho."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from proxy.policy.values import STRICT

Uid = Annotated[int, Field(ge=0, lt=2**32)]


class Bypass(BaseModel):
    """How the socket table is watched."""

    model_config = STRICT

    watch_seconds: float = Field(
        2.0, ge=0, le=60, description="How often the socket table is looked through, in seconds; 0: never."
    )
    allowed_uids: tuple[Uid, ...] = Field(
        (),
        description="User ids whose connections may go around Sekisho, such as those of a service mesh's proxy or of a "
        "monitoring agent. Sekisho's own need not be named.",
    )
    egress: Literal["report", "ignore"] = Field(
        "report", description="Connections to addresses of the internet that no lane leads to."
    )
