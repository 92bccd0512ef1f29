"""A Dockerfile as its instructions, for the tests that judge it and for the proof that runs it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

PLACE = Path(__file__).resolve().parents[3] / "deploy" / "docker"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One of them, its continued lines joined."""

    name: str
    text: str
    """What follows the name; variables as written."""

    def words(self) -> list[str]:
        """The JSON array of an exec form; otherwise the words, without options."""
        rest = re.sub(r"^(--\S+\s+)*(CMD\s+)?", "", self.text)
        return list(json.loads(rest)) if rest.startswith("[") else rest.split()

    def option(self, name: str) -> str:
        """``value`` of ``--name=value``, or nothing."""
        found = re.search(rf"(?:^|\s)--{name}=(\S+)", self.text)
        return found[1] if found else ""


@dataclass(slots=True)
class Stage:
    """What is between one FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> Instruction:
        return self.all(name)[-1]


def instructions(text: str) -> list[Instruction]:
    """All of them. Comment lines are gone, also those between continued lines."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = [line.strip() for line in kept.replace("\\\n", " ").splitlines() if line.strip()]
    return [Instruction(name, re.sub(r"\s+", " ", rest)) for name, rest in (line.split(maxsplit=1) for line in lines)]


def stages(text: str) -> tuple[dict[str, str], list[Stage]]:
    """The ARGs in front of the first stage with their defaults, and the stages, their bases filled in."""
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for instruction in instructions(text):
        if instruction.name == "FROM":
            base, *name = instruction.text.split(" AS ")
            found.append(Stage(Template(base).substitute(arguments), *(name or [str(len(found))])))
        elif found:
            found[-1].instructions.append(instruction)
        else:
            assert instruction.name == "ARG", instruction
            name, _, default = instruction.text.partition("=")
            arguments[name] = default
    return arguments, found


def pairs(text: str) -> dict[str, str]:
    """``a=1 b="2 3"`` of ENV and LABEL."""
    return {name: value.strip('"') for name, value in re.findall(r"([\w.]+)=(\"[^\"]*\"|\S+)", text)}


def shipped() -> tuple[dict[str, str], list[Stage]]:
    return stages((PLACE / "Dockerfile").read_text())
