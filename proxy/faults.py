"""A fault as it may be told: the kind of error and where it happened, never its message, which may quote what was
being read."""

from __future__ import annotations


def place(error: BaseException) -> str:
    """``ValueError at server.py:240 in is_own``, the innermost place of all."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} at {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} in {code.co_qualname}"
