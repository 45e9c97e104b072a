"""Any `kind` gives one clear line, whatever importing it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from trimtab.core.component import build_component
from trimtab.errors import StudyError

MODULES = {
    "raises_on_import": "def load():\n    raise ZeroDivisionError('first line\\nsecond line')\n\nload()\n",
    "exits_on_import": "raise SystemExit(3)\n",
    "has_a_syntax_error": "def (:\n",
    "needs_a_missing_module": "import no_such_module_at_all\n",
    "holds_no_component": "class Thing: pass\nnumber = 3\n",
    "raises_on_use": (
        "from trimtab.core.component import Component\n\n"
        "class Boom(Component):\n    def model_post_init(self, context):\n        raise KeyError('custom')\n"
    ),
}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("raises_on_import:X", "importing it raised ZeroDivisionError: first line second line ("),
        ("exits_on_import:X", "importing it raised SystemExit: 3 ("),
        ("has_a_syntax_error:X", "importing it raised SyntaxError: "),
        (
            "needs_a_missing_module:X",
            "importing it raised ModuleNotFoundError: No module named 'no_such_module_at_all' (",
        ),
        ("no_such_module_at_all:X", "there is no module 'no_such_module_at_all'; Python must be able to import it"),
        ("trimtab.no_such_part:X", "there is no module 'trimtab.no_such_part'"),
        ("holds_no_component:Missing", "module 'holds_no_component' has no attribute 'Missing'"),
        ("holds_no_component:Thing", "'holds_no_component:Thing' is not a trimtab Component"),
        ("holds_no_component:number", "'holds_no_component:number' is not a trimtab Component"),
        ("raises_on_use:Boom", "'raises_on_use:Boom' raised KeyError: KeyError('custom')"),
        *[
            (kind, "does not name a class; write the kind of a custom component as my_package.my_module:MyClass")
            for kind in (":", "a:", ":B", "..:B", ".a:B", "a b:C", "a:b.c", "a:B:C", "\n:x", "é x:y" * 50_000)
        ],
        ("", "unknown kind '' in annotators"),
        ("x" * 50_000, "unknown kind 'xxx"),
        ("_shared", "unknown kind '_shared' in annotators"),
    ],
)
def test_a_kind_that_cannot_be_loaded_gives_one_line(kind: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        build_component("annotators", kind)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
