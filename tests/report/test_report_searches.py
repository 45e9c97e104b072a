"""Search trees and filters on the page and in report.json, collected from a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted_run import BACKTRACKED_PAIR, PLAIN_PAIRS, THOUGHT, UNLABELED, create_scripted_run

from trimtab.report.collect.report import collect_report
from trimtab.report.collect.search_trees import collect_search_info
from trimtab.report.model import report_from_json, report_to_json
from trimtab.report.page.html import render_html
from trimtab.report.page.html import render_page as rendered
from trimtab.report.page.pair_browser import build_pair_browser
from trimtab.report.page.sections.section import PageContents
from trimtab.report.pair_view.search_tree import build_branches, parse_search_tree
from trimtab.report.run_reader import Run
from trimtab.report.write_report import write_report
from trimtab.types import Annotation

TEXTS = ("red]tea[", "calm question", "good answer", "Response 1 is", "poor")


@pytest.fixture(scope="module")
def scripted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by many tests; read-only."""
    return create_scripted_run(tmp_path_factory.mktemp("made") / "run")


def test_arms_that_differ_only_in_their_filters_share_their_trees(scripted_run: Path) -> None:
    (search,) = collect_report(scripted_run).searches
    assert search.arms == ("seam", "seam_filtered")
    assert search.n == 4  # the mute pair failed
    assert search.metrics["depth"].value == 3.0
    assert (search.metrics["backtracks"].value, search.metrics["backtracks"].n_failed) == (0.5, 1)
    assert (search.metrics["backtrack_rate"].value, search.metrics["strong_decision_rate"].value) == (0.25, 0.0)
    assert search.depth_counts == {3: 4}


def test_principles_count_on_the_kept_path_only(scripted_run: Path) -> None:
    (search,) = collect_report(scripted_run).searches
    shares = {name: share.value for name, share in search.principle_shares.items()}
    # three calm trees of Informative, Engaging, Logical; the winding one backtracked from Engaging twice
    assert shares == {"Informative": 1.0, "Logical": 1.0, "Engaging": 0.75, "Candor": 0.25}
    assert list(shares)[-1] == "Candor"


def test_a_levels_information_is_the_mean_over_all_its_nodes(scripted_run: Path) -> None:
    (search,) = collect_report(scripted_run).searches
    first, second, third = search.levels
    assert [level.information.n for level in search.levels] == [4, 5, 5]
    assert [level.retained_share.value for level in search.levels] == [1.0, 0.8, 0.8]
    # 1 - H(p) in bits: 0.02905 at 0.6, 0.00723 at 0.55, 0.11871 at 0.7, 0.27807 at 0.8
    assert first.information.value == pytest.approx(0.02905, abs=1e-5)
    assert second.information.value == pytest.approx((4 * 0.11871 + 0.00723) / 5, abs=1e-5)
    assert third.information.value == pytest.approx((4 * 0.27807 + 0.00723) / 5, abs=1e-5)


def test_a_filtered_arm_has_agreement_before_and_after_filtering(scripted_run: Path) -> None:
    labels = {label.arm: label.metrics for label in collect_report(scripted_run).labels}
    unfiltered = labels["seam"]["agreement"]
    assert labels["seam_filtered"]["agreement_before_filter"] == unfiltered
    assert (unfiltered.value, unfiltered.n) == (0.75, 4)
    assert (labels["seam_filtered"]["agreement"].value, labels["seam_filtered"]["agreement"].n) == (1.0, 2)
    assert "agreement_before_filter" not in labels["seam"]


def test_agreement_before_filtering_is_in_the_json_report(scripted_run: Path, tmp_path: Path) -> None:
    folder = create_scripted_run(tmp_path / "run")
    report = write_report(folder)
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert document["labels"]["seam_filtered"]["agreement_before_filter"]["value"] == 0.75
    assert document["label_info"]["seam"]["cost"]["calls"] > 0
    assert report_from_json(document) == report
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page == rendered(PageContents(report=report, pairs=build_pair_browser(Run(folder)))).html


def test_a_filtered_arm_has_the_cost_of_its_unfiltered_labels(scripted_run: Path) -> None:
    labels = {label.arm: label for label in collect_report(scripted_run).labels}
    assert labels["seam"].cost == labels["seam_filtered"].cost
    assert labels["seam"].source == labels["seam_filtered"].source


def test_the_first_trees_are_shown_as_many_as_the_study_requests(scripted_run: Path) -> None:
    (search,) = collect_report(scripted_run).searches
    assert [sample.pair_id for sample in search.samples] == [BACKTRACKED_PAIR.id, PLAIN_PAIRS[0].id]
    assert render_html(collect_report(scripted_run)).count('<ul class="tree">') == 2


def test_without_samples_no_text_of_a_pair_is_on_the_page_or_in_the_document(tmp_path: Path) -> None:
    report = write_report(create_scripted_run(tmp_path / "run", samples=0))
    page, document = (tmp_path / "run" / "report.html").read_text(encoding="utf-8"), json.dumps(report_to_json(report))
    assert 'id="searches"' in page
    for text in (*TEXTS, THOUGHT, *(pair.id for pair in UNLABELED)):
        assert text not in page
        assert text not in document


def test_with_samples_the_same_texts_are_on_the_page(scripted_run: Path) -> None:
    page = render_html(collect_report(scripted_run))
    assert [text for text in TEXTS if text not in page] == []


def test_labels_without_trees_have_no_search() -> None:
    labels = {pair.id: Annotation(pair_id=pair.id, p_a=0.7, detail={"nodes": 3}) for pair in PLAIN_PAIRS}
    assert collect_search_info(["weak"], labels, PLAIN_PAIRS, num_samples=2) is None


def test_a_tree_without_principles_is_one_node() -> None:
    node = {"level": 1, "chain": [], "thought": ["so"], "information": 0.1, "p_first": 0.7, "weight": 1.0}
    node |= {"kept": True, "drop_reason": "", "status": "ok"}
    detail = {"decided_by": "weak", "first": "b", "nodes": [node], "depth": 1, "score": 0.1, "backtracks": 0}
    tree = parse_search_tree({**detail, "strong_p_a": None, "weak_p_a": 0.6})
    assert tree is not None
    (branch,) = build_branches(tree)
    assert (branch.node.name, branch.children) == ("no principle", ())
    assert branch.node.p_a == pytest.approx(0.3)  # of a, which is the second response
