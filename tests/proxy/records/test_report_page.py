from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest

from proxy.records.audit import JsonLinesAudit
from proxy.records.report import report
from proxy.records.report_page import bars, page

SECRET = b"a key that is only used in tests"
DAY = date(2026, 11, 5)


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "audit.jsonl"
    sink = JsonLinesAudit(path, SECRET, now=lambda: datetime(2026, 11, 5, 12, tzinfo=UTC))
    finding = {"entity": "PAN", "brand": "visa", "confidence": "high", "test": False, "verdict": "report"}
    about = {"lane": "<script>alert(1)</script>", "role": "logging", "direction": "request", "verdict": "report"}
    sink.append({"kind": "start", "policy_id": "<b>bold</b>", "policy_sha256": "ab" * 32})
    sink.append({"kind": "retention", "findings": [finding], **about})
    sink.close()
    return report([path], SECRET, DAY, DAY)


def test_it_holds_nothing_from_outside_and_no_script(document):
    text = page(document)
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|\bhref=|@import|url\(|https?:|\bon\w+=", text)
    assert "default-src 'none'" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;bold&lt;/b&gt;" in text


def test_what_is_grave_is_said_in_red_at_the_top(document):
    text = page(document)
    assert text.index('class="say bad"') < text.index("<h2>")
    assert "Card data was forwarded: 1 findings" in text
    assert "The records are whole" in text
    (chain,) = document["chains"]
    broken = {**chain, "ok": False, "bad_file": "audit.jsonl", "line": 2, "why": "altered: its hash does not match"}
    text = page({**document, "chains": [broken]})
    assert "The records are whole" not in text
    assert re.search(r'class="say bad">The records are NOT whole: .*line 2:\naltered', text)


def test_ways_around_are_a_section_of_their_own(document):
    none = page(document)
    assert "迂回の検知</small></h2>\n<p>None recorded. なし</p>" in none
    row = {"kind": "direct", "count": 1200, "first": "2026-11-05T01:02:03.456Z", "last": "2026-11-05T04:05:06.789Z"}
    outage = {"since": "2026-11-05T01:00:00.000Z", "until": "2026-11-05T02:00:00.000Z", "lost": 7}
    more = {"bypasses": [{"lane": "<i>logs</i>", **row}, {"lane": "", **row}], "outages": [outage]}
    text = page({**document, **more})
    assert "<td>&lt;i&gt;logs&lt;/i&gt;</td><td>direct</td>" in text
    assert '<td>none なし</td><td>direct</td><td class="n">1,200</td>' in text
    assert '<td class="t">2026-11-05 01:02</td><td class="t">2026-11-05 04:05</td>' in text
    assert "Records lost: none." in none
    assert "Records lost: 7 from 2026-11-05T01:00:00.000Z to 2026-11-05T02:00:00.000Z." in text


def test_bars_stand_on_each_other():
    found = bars([{"day": "2026-11-05", "block": 3, "report": 1}, {"day": "2026-11-06", "messages": 5}])
    (block, report_) = found["rects"]
    assert (block[:2], report_[:2], found["most"]) == (("block", 3), ("report", 1), 4)
    assert block[3] + block[5] == 150
    assert report_[3] + report_[5] == pytest.approx(block[3], abs=0.2)
    assert (found["first"], found["last"]) == ("2026-11-05", "2026-11-06")
    assert bars([])["rects"] == []


def test_a_long_time_is_shown_by_month():
    days = [{"day": f"2026-{month:02}-{day:02}", "block": 1} for month in (1, 2, 3) for day in range(1, 29)]
    assert [rect[1] for rect in bars(days)["rects"]] == [28, 28, 28]
