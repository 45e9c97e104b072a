"""What `trimtab doctor` finds: facts in sections, and problems."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


@dataclass(frozen=True, slots=True)
class FactGroup:
    """A title, and facts as names and values."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """`problems` are lines, each with the place, what is wrong and the remedy. A study with problems cannot run here."""

    sections: tuple[FactGroup, ...] = ()
    problems: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        """Both findings; sections of one title become one section, and nothing is listed twice."""
        facts: dict[str, dict[tuple[str, str], None]] = {}
        for section in (*self.sections, *other.sections):
            facts[section.title] = {**facts.get(section.title, {}), **dict.fromkeys(section.facts)}
        sections = tuple(FactGroup(title, tuple(each)) for title, each in facts.items())
        return Findings(sections, tuple(dict.fromkeys((*self.problems, *other.problems))))


def format_bytes(size: float) -> str:
    """`1.5 GB`, `12 MB`."""
    unit, name = next(((unit, name) for unit, name in _UNITS if size >= unit), (1, "B"))
    value = size / unit
    return f"{value:.1f} {name}" if value < 10 and unit > 1 else f"{value:.0f} {name}"
