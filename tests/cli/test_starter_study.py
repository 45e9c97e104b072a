"""The studies that a new user starts from run as they are: that of `trimtab new`, and that of the README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.errors import DataError, StudyError
from trimtab.workflows.starter_study import write_starter_study

README = Path(__file__).parents[2] / "README.md"
# The same studies with fewer pairs to read and to use, and two of the models' 30 layers.
LAYERS = "{base: smollm2-135m-instruct, layers: 2}"
SMALL = (
    *("data.limit=300", "split.max_labeled=20", "split.max_unlabeled=12", "split.max_test=8"),
    "generation.max_new_tokens=8",
    *(f"models.weak={LAYERS}", f"models.student={LAYERS}"),
)


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["new", "readme"])
def test_the_study_runs_to_its_report(tmp_path: Path, origin: str) -> None:
    study, out = tmp_path / "study.yaml", tmp_path / "run"
    if origin == "new":
        assert write_starter_study(study, None, {}) == "the built-in pairs"
    else:
        (block,) = re.findall(r"^```yaml\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        study.write_text(block, encoding="utf-8")
    command = [sys.executable, "-m", "trimtab", "run", str(study), *SMALL, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"sft", "human", "weak", "longer"} <= set(json.loads((out / "report.json").read_text())["arms"])
    assert (out / "labels" / "weak.parquet").is_file()


def test_a_starter_study_names_the_columns_of_the_file(tmp_path: Path) -> None:
    rows = ["question,answer_1,answer_2,better", *(f"Ask {n}?,yes {n},no {n},{1 + n % 2}" for n in range(80))]
    pairs = tmp_path / "my pairs.csv"
    pairs.write_text("\n".join(rows))
    settings = {
        "columns": {"prompt": "question", "response_a": "answer_1", "response_b": "answer_2", "label": "better"},
        "label_values": {"1": "a", "2": "b"},
    }
    file = tmp_path / "my study.yaml"
    assert write_starter_study(file, pairs, settings).startswith("80 labeled pairs in ")
    pairs.write_text("\n".join([*rows, "Which?,yes,no,tie"]))
    left_out = "1 row of my pairs.csv is not usable: 'better' is 'tie', which is not in `label_values`: '1', '2' "
    assert write_starter_study(tmp_path / "2.yaml", pairs, settings).splitlines()[1:] == [
        f"{left_out}(my pairs.csv:82)"
    ]
    assert Study.load(tmp_path / "2.yaml").name == "2"
    with pytest.raises(DataError, match=r"80 of 81 pairs .* omit `null` from `label_values`"):
        ties = {**settings, "label_values": {**settings["label_values"], "tie": None}}
        write_starter_study(tmp_path / "3.yaml", pairs, ties)
    study = Study.load(file)
    assert study.name == "my-study"
    assert len(study.data.load().pairs) == 80  # type: ignore[union-attr]


def test_a_starter_study_needs_labeled_pairs_and_a_new_file(tmp_path: Path) -> None:
    pairs, file = tmp_path / "pool.csv", tmp_path / "study.yaml"
    pairs.write_text("prompt,response_a,response_b\nAsk?,yes,no\n")
    with pytest.raises(
        DataError, match="0 of 1 pairs have a human label; a starter study splits one file of at least 60"
    ):
        write_starter_study(file, pairs, {})
    pairs.write_text("prompt,chosen,rejected\n" + "".join(f"Ask {n}?,yes,no\n" for n in range(46)))
    with pytest.raises(
        DataError, match=r"46 labeled pairs, .* at least 60; label 14 more, for example with `trimtab label`"
    ):
        write_starter_study(file, pairs, {})
    with pytest.raises(StudyError, match="--data: requires a file of pairs"):
        write_starter_study(file, None, {"limit": 3})
    assert not file.exists()
    file.write_text("name: mine")
    with pytest.raises(StudyError, match="exists already; choose another name, or delete it first"):
        write_starter_study(file, None, {})
