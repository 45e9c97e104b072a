"""The rule for names that users choose and that become part of file names and table keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import WithJsonSchema

# A folder name can contain two names, the name of a stage and a fingerprint, and some file systems allow 143 characters.
MAX_NAME_LENGTH = 48
NAME_RULE = (
    f"a name consists of letters, digits, - and _, starts with a letter or digit, and has at most {MAX_NAME_LENGTH} "
    "characters"
)
# The key of the human-preferred responses in tables that are keyed by arm.
PREFERRED_RESPONSES = "preferred_responses"
# The row of the student after SFT. If arms have an SFT each, there is a row `sft.ARM` for each; no arm can have such a name.
SFT_ROW = "sft"
# No arm can have a name with a dot.
_ROUND_SUFFIX = ".round-"
_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{MAX_NAME_LENGTH - 1}}}"
_NAME = re.compile(_PATTERN)
# A key of a setting whose names `validate_names` checks.
Name = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{_PATTERN}$"})]


def build_sft_row_name(arm: str) -> str:
    return f"{SFT_ROW}.{arm}"


def is_sft_row(row: str) -> bool:
    return row.partition(".")[0] == SFT_ROW


def build_round_row_name(arm: str, number: int) -> str:
    """The row of an arm's student after a later round; after round 1, it is the arm itself."""
    return f"{arm}{_ROUND_SUFFIX}{number}"


def find_arm(row: str) -> str:
    """The arm of a row, which can be that of a later round."""
    return row.partition(_ROUND_SUFFIX)[0]


def validate_names(names: Iterable[str]) -> None:
    """Raises `ValueError` for a name against the rule, and for names that are equal on some file systems."""
    by_folded: dict[str, str] = {}
    for name in names:
        if _NAME.fullmatch(name) is None:
            shown = name if len(name) <= MAX_NAME_LENGTH else f"{name[:MAX_NAME_LENGTH]}…"
            raise ValueError(f"{shown!r}: {NAME_RULE}")
        other = by_folded.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"{name!r}: differs from {other!r} only in case, which some file systems ignore; rename one"
            )
