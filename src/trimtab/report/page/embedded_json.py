"""Values as JSON that may stand within a page's script element: nothing in it can be read as markup."""

from __future__ import annotations

import json
from typing import Any


def to_embedded_json(value: Any) -> str:
    """Compact JSON without `<`, `>` and `&`, which stand in strings alone and are written as `\\u003c` and so on."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
