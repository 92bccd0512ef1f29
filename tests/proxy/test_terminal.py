"""Where words go, and how a command ends."""

from __future__ import annotations

import pytest
import typer

from proxy import terminal


def test_answers_and_complaints_have_their_own_stream(capsys):
    terminal.say("an answer")
    terminal.tell("a complaint")
    terminal.print_json({"名": 1})
    assert capsys.readouterr() == ('an answer\n{\n  "名": 1\n}\n', "a complaint\n")


def test_a_failure_is_told_and_ends_the_command(capsys):
    with pytest.raises(typer.Exit) as ended:
        terminal.fail("no", 2)
    assert (ended.value.exit_code, capsys.readouterr().err) == (2, "no\n")


def stopped() -> int:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("command", "code"), [(lambda: 3, 3), (stopped, 130)], ids=["its own", "interrupted"])
def test_a_command_ends_with_its_own_code(command, code):
    with pytest.raises(typer.Exit) as ended:
        terminal.leave(command)
    assert ended.value.exit_code == code
