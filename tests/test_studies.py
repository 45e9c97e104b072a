"""Every study in `studies/` can be planned, at both sizes, without a network; the papers' numbers refer to rows that exist."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from trimtab.config.study import Study
from trimtab.config.study_files import load_study_documents
from trimtab.errors import StudyError
from trimtab.pipeline.dry_run.offline_sources import replace_unreachable_sources
from trimtab.pipeline.plan import build_plan
from trimtab.report.paper_comparison.published import (
    DifferenceNumber,
    LabelNumber,
    PublishedTable,
    RowNumber,
    load_published_paper,
)
from trimtab.workflows.study_plan import StudyPlan

STUDIES = Path(__file__).parents[1] / "studies"
TAO_LI = STUDIES / "tao2024"
# What `trimtab sample` writes, for studies with the variable `pool`.
POOL_FILE = "pool.jsonl"
PAIR_FILES = (
    POOL_FILE,
    *(f"hh1t_{objective}_{split}.jsonl.gz" for objective in ("helpful", "harmless") for split in ("gt", "w2s", "test")),
    *("hh_helpful_rs_test.jsonl.gz", "hh_helpful_online_test.jsonl.gz", "tldr_train.jsonl", "tldr_test.jsonl"),
)
INSTRUCTION_FILES = ("sft_dolly_3k.jsonl.gz", "sft_alpaca_claude_5k.jsonl.gz")
NUM_PAIRS = 60


def study_name(path: Path) -> str:
    """The name of the study in a file, of its first variant if it has several. Empty for overlays and other files."""
    try:
        return str(next(iter(load_study_documents(path).values())).settings.get("name", ""))
    except StudyError:  # numbers of a paper, for example
        return ""


# Those in `headline/` need more pairs: `test_headline_study.py` plans them.
FILES = sorted(path for path in STUDIES.rglob("*.yaml") if path.parent.name != "headline" and study_name(path))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few pairs in each of the files that studies read."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in PAIR_FILES:
        rows = [{"prompt": f"{name} {n}?", "chosen": f"Yes {n}.", "rejected": f"No {n}."} for n in range(NUM_PAIRS)]
        _write_rows(folder / name, rows)
    for name in INSTRUCTION_FILES:
        _write_rows(folder / name, [{"prompt": f"{name} {n}?", "response": f"Yes {n}."} for n in range(NUM_PAIRS)])
    return folder


def _write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def test_every_folder_of_studies_is_planned() -> None:
    folders = {path.parent.relative_to(STUDIES).as_posix() for path in FILES}
    assert folders >= {
        "tao2024",
        "tao2024/laptop",
        "cwpo2026",
        "cwpo2026/laptop",
        "seam2025",
        "seam2025/laptop",
        "labels",
    }


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(STUDIES).as_posix())
def test_a_study_can_be_planned(path: Path, pairs: Path, tmp_path: Path) -> None:
    pool = [f"variables.pool={pairs / POOL_FILE}"] if "${pool}" in path.read_text(encoding="utf-8") else []
    for study in Study.load_variants(path, [f"variables.pairs={pairs}", *pool]).values():
        plan = StudyPlan.of_study(study, tmp_path / "run")
        assert {stage.state for stage in plan.stages} <= {"to run", "skipped"}
        assert "split" in {stage.stage for stage in plan.to_run}


@pytest.mark.parametrize("folder", ["tao2024", "cwpo2026"])
def test_every_study_has_a_laptop_size_of_the_same_name(folder: str) -> None:
    names = [
        {path.name: study_name(path).split("-")[0] for path in FILES if path.parent == parent}
        for parent in (STUDIES / folder, STUDIES / folder / "laptop")
    ]
    assert names[0]
    assert names[0] == names[1]


PAPER = load_published_paper(TAO_LI / "published.yaml")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("table", PAPER.tables, ids=lambda table: table.title)
def test_published_numbers_refer_to_rows_of_the_study(table: PublishedTable) -> None:
    studies = Study.load_variants(TAO_LI / f"{table.study}.yaml")
    rows = {name: {row.name for row in build_plan(replace_unreachable_sources(s)).rows} for name, s in studies.items()}
    only_at_laptop_size = {"by_fourth"}
    for number in table.numbers:
        names = [getattr(number, field, None) for field in ("row", "minus", "labels")]
        names += number.expect.share_of or () if number.expect else ()
        for name in filter(None, names):
            variant, _, arm = name.rpartition("/")
            assert arm in {*rows[variant or next(iter(rows))], *only_at_laptop_size}, number.name
    assert {number.study for number in [table]} <= {study.name.removesuffix(f"-{v}") for v, study in studies.items()}


def test_published_differences_are_those_of_the_published_rows() -> None:
    values = {
        (table.study, number.row): number.paper
        for table in PAPER.tables
        for number in table.rows
        if type(number) is RowNumber and number.paper is not None
    }
    checked = 0
    for table in PAPER.tables:
        for number in table.differences:
            pair = [values.get((table.study, row)) for row in (number.row, number.minus)]
            if isinstance(number, DifferenceNumber) and number.paper is not None and None not in pair:
                assert number.paper == pytest.approx((pair[0] or 0) - (pair[1] or 0), abs=0.0101), number.name
                checked += 1
    assert checked > 20


def test_the_published_means_of_labels_mix_as_their_shares_do() -> None:
    """D_weak is 60.6 % D_match and 39.4 % D_mismatch, so its mean rewards are the weighted means of theirs."""
    (table,) = (table for table in PAPER.tables if table.title.startswith("Table 2"))
    values = {(n.labels, n.pairs, n.metric): n.paper for n in table.labels if type(n) is LabelNumber and n.paper}
    for metric in ("gold_chosen", "gold_rejected"):
        match, mismatch = (values["weak", pairs, metric] or 0 for pairs in ("match", "mismatch"))
        assert values["weak", "all", metric] == pytest.approx(0.606 * match + 0.394 * mismatch, abs=0.01)


@pytest.mark.parametrize("folder", [TAO_LI, TAO_LI / "laptop"])
def test_labels_have_the_beta_of_the_weak_models_dpo(folder: Path) -> None:
    for path in (path for path in FILES if path.parent == folder):
        for name, study in Study.load_variants(path).items():
            dpo = study.training.weak_dpo or study.training.dpo
            betas = {arm: getattr(each.annotator, "beta", dpo.beta) for arm, each in study.arms.items()}
            assert set(betas.values()) == {dpo.beta}, f"{path.name} {name}: {betas}"
