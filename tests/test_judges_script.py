"""The script that compares judges with human labels, on generated files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "studies" / "judges" / "agreement.py"
FIRST = 'first={engine: {kind: scripted, choice_weights: {".": [2, 1]}}}'
# identifies the good response in either order
CORRECT = "correct={engine: {kind: scripted, choice_weights: {'response_1>(?s:.)good': [3, 1], '.': [1, 3]}}}"


def run_script(folder: Path, *judges: str, max_pairs: int = 8) -> tuple[dict[str, object], str]:
    for name, count in (("one", 10), ("two", 6)):
        lines = [
            {"prompt": f"{name} {index}?", "chosen": f"good {index}", "rejected": f"a longer poor {index}"}
            for index in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = [str(folder / f"{name}.jsonl") for name in ("one", "two")]
    output = folder / "out.json"
    judge_options = [part for judge in judges for part in ("--judge", judge)]
    command = [
        sys.executable,
        str(SCRIPT),
        *files,
        *judge_options,
        "--max-pairs",
        str(max_pairs),
        "--json",
        str(output),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(output.read_text()), process.stdout


def test_judges_are_compared_with_human_labels_per_file_and_over_all_files(tmp_path: Path) -> None:
    document, text = run_script(tmp_path, FIRST, CORRECT)
    files, judges = document["files"], document["judges"]
    assert files == {
        "one": {"pairs": 8, "n_excluded": 0},
        "two": {"pairs": 6, "n_excluded": 0},
        "all files": {"pairs": 14, "n_excluded": 0},
    }
    assert isinstance(judges, dict)
    agreement = {name: results["all files"]["metrics"]["human_agreement"]["value"] for name, results in judges.items()}
    assert agreement == {
        "longer": 0.0,
        "first": 0.5,
        "first, averaged": 0.5,
        "correct": 1.0,
        "correct, averaged": 1.0,
    }
    assert judges["first"]["one"]["metrics"]["order_inconsistency"]["value"] == 1.0
    assert "unusable" in judges["first"]["all files"]["warnings"][0]
    assert judges["correct"]["two"]["cost"]["calls"] == 12
    assert "| correct | 1.000 [" in text
