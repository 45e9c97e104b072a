"""The script that holds judges to people, on a file made on the spot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "studies" / "judges" / "agreement.py"
FIRST = 'first={engine: {kind: scripted, weighs: {".": [2, 1]}}}'
# sees which response is good, whichever stands first
KNOWS = "knows={engine: {kind: scripted, weighs: {'response_1>(?s:.)good': [3, 1], '.': [1, 3]}}}"


def tried(folder: Path, *judges: str, rows: int = 8) -> tuple[dict[str, object], str]:
    for name, count in (("one", 10), ("two", 6)):
        lines = [
            {"prompt": f"{name} {place}?", "chosen": f"good {place}", "rejected": f"a longer poor {place}"}
            for place in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    files = [str(folder / f"{name}.jsonl") for name in ("one", "two")]
    to = folder / "out.json"
    asked = [part for judge in judges for part in ("--judge", judge)]
    command = [sys.executable, str(SCRIPT), *files, *asked, "--rows", str(rows), "--json", str(to)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(to.read_text()), done.stdout


def test_judges_are_held_to_people_file_by_file_and_over_all(tmp_path: Path) -> None:
    document, shown = tried(tmp_path, FIRST, KNOWS)
    files, judges = document["files"], document["judges"]
    assert files == {
        "one": {"pairs": 8, "left_out": 0},
        "two": {"pairs": 6, "left_out": 0},
        "all files": {"pairs": 14, "left_out": 0},
    }
    assert isinstance(judges, dict)
    people = {name: found["all files"]["figures"]["with_people"]["value"] for name, found in judges.items()}
    assert people == {"longer": 0.0, "first": 0.5, "first, averaged": 0.5, "knows": 1.0, "knows, averaged": 1.0}
    assert judges["first"]["one"]["figures"]["order_flips"]["value"] == 1.0
    assert "unusable" in judges["first"]["all files"]["warnings"][0]
    assert judges["knows"]["two"]["cost"]["calls"] == 12
    assert "| knows | 1.000 [" in shown
