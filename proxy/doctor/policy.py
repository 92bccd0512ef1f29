"""The policy file itself: unusable, good, or good with something that deserves a second look."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import date
from shlex import quote

from proxy.check import warnings
from proxy.doctor.rows import Row, Subject
from proxy.policy import Policy, PolicyError


def unusable(error: PolicyError) -> Iterator[Row]:
    """Each error at its place."""
    for problem in error.problems:
        at = Subject("policy", f"{error.path.name}:{problem.mark.line}:{problem.mark.column}")
        again = f"mend it, then: sekisho check {quote(str(error.path))}"
        denied = problem.hint == os.strerror(errno.EACCES)
        fix = "run this as the sidecar's user, or as root" if denied else problem.hint
        yield at.broken(problem.why, fix.removeprefix("run: ") or again)


def rows(policy: Policy, today: date) -> Iterator[Row]:
    """A good policy, and the first of what ``sekisho check`` warns of."""
    at = Subject("policy")
    found = warnings(policy, today)
    seen = f"good: {policy.policy_id}, mode {policy.mode}"
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        fix = f"sekisho check {quote(str(policy.path))}"
        yield at.warning(f"{seen}, but {found[0].text()}{more}", fix)
    else:
        yield at.ok(seen)
