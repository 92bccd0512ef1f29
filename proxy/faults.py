"""A fault as it may be told: the kind of error and where it happened, never its message, which may quote what was
being read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger(__name__)


def place(error: BaseException) -> str:
    """``ValueError at server.py:240 in is_own``, the innermost place of all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} at {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_qualname}"


def unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's last resort: by itself it logs the error with its message."""
    error = context.get("exception")
    logger.error("unhandled: %s", place(error) if isinstance(error, BaseException) else "no exception")
