"""Names, messages and pages use the field's terms: words that Trimtab retired do not come back.

Each retired word has a standard term, which the failure message names.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "trimtab"
# What models read, and the synthetic texts, are data: their wording is part of the results.
DATA = ("prompts", "starter")
FILES = sorted(SOURCE.rglob("*.py"))
TEMPLATES = sorted([*SOURCE.rglob("*.j2"), *SOURCE.rglob("*.js")])
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "studies/README.md")),
    SOURCE / ".agents" / "skills" / "trimtab" / "SKILL.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

# Words that are not part of a name.
RETIRED_IN_NAMES = {
    "told": "format_, describe_ or report_",
    "kept": "cached, saved or retained",
    "lent": "resolved",
    "anew": "regenerated",
    "beside": "compared",
    "dear": "expensive",
    "surer": "more_confident",
    "surest": "most_confident",
    "elsewhere": "ood",
    "drawn": "sampled or random",
    "opened": "open_ or load_",
    "asked": "prompted or requested",
    "said": "reported",
    "weigh": "score",
    "weighed": "scored",
    "weighing": "scoring",
    "beginning": "prefix",
    "beginnings": "prefixes",
    "people": "human",
    "alike": "similar",
    "written": "generated",
    "whole": "full",
}
# A pattern, and what to write instead.
RETIRED_IN_TEXT = {
    r"\bpeople\b": "human annotators, human labels",
    r"\b(is|are|was|were|be|been|being) told\b|\bTold\b": "reported, shown",
    r"\btold (of|apart|whether|with|in|by|there|here|to)\b": "reported, distinguished",
    r"\banew\b|\bmade again\b": "regenerated, re-run",
    r"\bdear(er|est)?\b": "expensive",
    r"\b(lends?|lent)\b": "provides, resolves",
    r"\bsure(r|st)\b": "more confident, most confident",
    r"\b(goes?|going|gone|went) on from\b": "resumes",
    r"\bgraphics cards?\b": "GPU",
    r"\bheld to (people|humans?|each other|one another)\b": "compared with human labels",
    r"\bwhat ships\b|\bthat ships?\b|\bwhich ships?\b": "built-in",
    r"\b(a|the) nan\b|\bnumbers? that (is|are) none\b": "NaN",
    r"\bturned over\b": "flipped",
    r"\bput (on|over) it\b": "applied, overridden",
    r"\bspeaks? of\b|\bsays? nothing of\b|\bsays? of\b": "describes, abstained",
    r"\bbears? on\b": "affects",
    r"\bof (one's|its|their|your|a user's|anyone's) own accord\b|\bof anyone's own\b": "by itself, custom",
    r"\bone another\b": "each other",
    r"\balike\b": "similar, the same",
    r"\bstands? (in|at|for|beside|there|behind|before|first|on)\b": "is, precedes, means",
    r"\bweighs?\b|\bweighing\b": "scores, scoring",
    r"\bbeginnings?\b": "prefix, start",
    r"\bbeside\b": "next to, compared with",
    r"\bheld out\b(?! )": "held-out",
}


def name_parts(name: str) -> list[str]:
    """The words of a name: `LabelAnew` and `label_anew` both give label and anew."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_").split("_")


def defined_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Functions, methods, classes, module constants, fields and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield from ((argument.lineno, argument.arg) for argument in arguments)
        if isinstance(node, ast.Module | ast.ClassDef):
            for child in node.body:
                targets = child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
                yield from ((child.lineno, target.id) for target in targets if isinstance(target, ast.Name))


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """String literals, docstrings and comments of a module, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            yield token.start[0], token.string


def retired(text: str) -> list[str]:
    """Each retired wording in the text, with its replacement."""
    return [
        f"{match[0]!r}: write {instead}"
        for pattern, instead in RETIRED_IN_TEXT.items()
        for match in re.finditer(pattern, " ".join(text.split()))
    ]


def test_names_use_no_retired_word() -> None:
    wrong = []
    for path in FILES:
        modules = [(0, part) for part in path.relative_to(SOURCE).with_suffix("").parts]
        for line, name in [*modules, *defined_names(ast.parse(path.read_text(encoding="utf-8")))]:
            wrong += [
                f"{path.relative_to(SOURCE)}:{line}: {name} ({word}: use {RETIRED_IN_NAMES[word]})"
                for word in name_parts(name)
                if word in RETIRED_IN_NAMES
            ]
    assert wrong == []


def test_docstrings_messages_and_comments_use_no_retired_wording() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)}:{line}: {message}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] not in DATA and path.name != "renamed_settings.py"  # the old names
        for line, text in texts(path)
        for message in retired(text)
    ]
    assert wrong == []


def test_templates_and_pages_use_no_retired_wording() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path in [*TEMPLATES, *PAGES]
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for message in retired(text)
    ]
    assert wrong == []


def test_a_retired_word_is_detected() -> None:
    assert retired("The runs are told apart by people.") == [
        "'people': write human annotators, human labels",
        "'are told': write reported, shown",
        "'told apart': write reported, distinguished",
    ]
    assert retired("The report compares the weights. Cached labels are regenerated.") == []
    assert name_parts("_LabelToldAnew") == ["label", "told", "anew"]
