"""The command that prints instructions for coding agents."""

from __future__ import annotations

from importlib.resources import files

from trimtab.cli.terminal import app, out


@app.command()
def skill() -> None:
    """Print instructions for coding agents.

    They cover the commands, studies, and common errors.

    For example: mkdir -p .agents/skills/trimtab && trimtab skill > .agents/skills/trimtab/SKILL.md
    """
    out.file.write(files("trimtab").joinpath(".agents", "skills", "trimtab", "SKILL.md").read_text(encoding="utf-8"))
