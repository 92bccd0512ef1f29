"""A row hides long numbers, wherever they come from."""

from __future__ import annotations

from proxy.doctor.rows import Row, Subject

NUMBER = "4111111111111111"


def test_a_row_has_the_name_of_what_was_looked_at():
    assert Subject("policy").ok("good").name == "policy"
    assert Subject("lane", "app-logs").ok("good").name == "lane app-logs"


def test_each_state():
    at = Subject("lane", "front")
    assert at.ok("seen") == Row("lane", "front", "ok", "seen")
    assert at.skipped("why") == Row("lane", "front", "skipped", "why")
    assert at.warning("seen", "fix") == Row("lane", "front", "warning", "seen", "fix")
    assert at.broken("seen", "fix") == Row("lane", "front", "broken", "seen", "fix")


def test_no_number_is_in_a_row():
    row = Subject("file", f"{NUMBER}.pem").broken(f"cannot read {NUMBER}", f"chmod go= {NUMBER}.pem")
    assert NUMBER not in repr(row)
    assert row.fix == "chmod go= [digits not shown].pem"


def test_a_stranger_writes_no_rows_of_his_own():
    """What a certificate says of itself is shown as it is, not obeyed."""
    row = Subject("upstream", "x").broken("issued by \x1b[2J\nok  upstream 東京\x9b1m\u202e", "look")
    assert row.seen == "issued by \\x1b[2J\\nok  upstream 東京\\x9b1m\\u202e"
