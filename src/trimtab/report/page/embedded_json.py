"""JSON that is safe inside a script element of a page."""

from __future__ import annotations

import json
from typing import Any


def to_embedded_json(value: Any) -> str:
    """Compact JSON in which `<`, `>` and `&` are escaped as `\\u003c` and so on, so that no text is parsed as markup."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
