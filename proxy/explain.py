"""``sekisho explain``: what the detectors think of each number in a file, for people or as JSON. Never the digits."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from detectors.explain import Candidate, Explainer, Explanation
from proxy.terminal import BROKEN, OK


def main(file: str, *, as_json: bool, content_type: str, content_encoding: str) -> int:
    """Prints the explanation of ``file`` (``-``: standard input). 0: nothing was found and all could be read; 1
    otherwise. Raises ``OSError`` for a file that cannot be read."""
    body = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    told = Explainer().explain(body, content_type, content_encoding)
    if as_json:
        sys.stdout.write(json.dumps(dataclasses.asdict(told), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines(told))
    return BROKEN if told.found or told.gaps else OK


def lines(told: Explanation) -> Iterator[str]:
    """The explanation as text: each candidate in its order, what could not be read, and the counts."""
    for candidate in sorted((*told.found, *told.rejected), key=lambda candidate: (candidate.start, candidate.end)):
        yield from _candidate(candidate)
    for gap in told.gaps:
        yield f"not inspected: {gap.reason}, bytes {gap.start} to {gap.end}"
        yield ""
    high = sum(candidate.verdict == "high" for candidate in told.found)
    counts = (
        f"{high} certain",
        f"{len(told.found) - high} doubtful",
        f"{len(told.rejected)} considered and dropped",
        f"{len(told.gaps)} not inspected",
    )
    yield ", ".join(counts)


def _candidate(candidate: Candidate) -> Iterator[str]:
    what = f"{candidate.entity} {candidate.brand}".strip()
    verdict = {"high": what, "low": f"{what}, doubtful", "none": "no card number"}[candidate.verdict]
    inside = f" (inside {', '.join(candidate.trail)})" if candidate.trail else ""
    place = f"{candidate.path}{inside}, ".removeprefix(" ").replace(" ,", ",") if candidate.path or inside else ""
    yield f"{verdict}: {candidate.masked}  {place}bytes {candidate.start} to {candidate.end}"
    if candidate.passed:
        yield f"  for      {', '.join(_with_words(candidate.passed, candidate))}"
    if candidate.failed:
        yield f"  against  {', '.join(_with_words(candidate.failed, candidate))}"
    yield ""


def _with_words(reasons: tuple[str, ...], candidate: Candidate) -> Iterator[str]:
    """The reasons, with the key or word that each rests on."""
    for reason in reasons:
        if reason in {"card key", "key says otherwise"} or reason.startswith("a JAN code"):
            yield f"{reason} ({candidate.key})" if candidate.key else reason
        elif reason == "card word":
            yield f"{reason} ({candidate.word})" if candidate.word else reason
        else:
            yield reason
