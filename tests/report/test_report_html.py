import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from made_up import ARMS, LABELS, REPORT, metric

from trimtab.report.collect.rewards import RewardInfo
from trimtab.report.model import Report, Sample, StudyInfo, report_from_json, report_to_json
from trimtab.report.page.figures import draw_arm_differences, draw_arm_values, draw_label_histogram
from trimtab.report.page.html import render_html
from trimtab.types import Metric

EMPTY = Report(study=StudyInfo(name="none", seed=0, weak="w", student="s"))
VOID = frozenset({"meta", "br", "link", "img", "hr", "input"})


class Outline(HTMLParser):
    """The tags of a page, and whether each is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._note(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"src", "href", "xlink:href", "action", "srcset", "data"}:
                self.addresses.append(value or "")


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser


def test_a_page_is_well_formed_and_every_id_is_its_own() -> None:
    page = outline(render_html(REPORT))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 5


def test_what_may_be_wider_than_the_screen_is_named_and_reached_by_the_keyboard() -> None:
    text = render_html(REPORT)
    scrolled = re.findall(r'<(?:div class="wide"|pre)[^>]*>', text)
    assert len(scrolled) > 8
    for each in scrolled:
        assert re.search(r' tabindex="0" role="region" aria-label="[^"{}]+">$', each), each


def test_a_page_needs_nothing_from_elsewhere() -> None:
    text = render_html(REPORT)
    page = outline(text)
    assert not {"link", "img", "iframe", "object", "form"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_policy_forbids_the_network_and_every_script_but_our_own() -> None:
    text = render_html(REPORT)
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert match is not None
    rules = dict(rule.strip().split(" ", 1) for rule in match[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'unsafe-inline'"
    assert rules["script-src"] == f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    assert not {"connect-src", "img-src"} & set(rules)


def test_markup_in_a_sample_is_shown_and_not_obeyed() -> None:
    text = render_html(REPORT)
    assert text.count("<script") == 1
    assert "Lead. &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "&lt;b&gt;heavier&lt;/b&gt;" in text


def test_markup_in_an_arms_name_is_escaped_in_the_figures_too() -> None:
    arm = replace(ARMS[3], name="</svg><i>$x$")
    text = render_html(replace(REPORT, arms=(arm,), labels=(replace(LABELS[0], arm='"><i>'),)))
    assert "<i>" not in text
    assert "&lt;/svg&gt;&lt;i&gt;$x$" in draw_arm_values(replace(REPORT, arms=(arm,)), "gold_reward")
    assert outline(text).open == []


def test_the_page_begins_with_the_verdict() -> None:
    text = render_html(REPORT)
    assert text.index("Weak labels beat SFT alone") < text.index("<svg") < text.index("<table")


def test_synthetic_data_is_said_next_to_the_title() -> None:
    badge = '<span class="badge">synthetic data</span>'
    assert badge in render_html(REPORT)
    assert badge not in render_html(replace(REPORT, notes=("Each arm was trained once.",)))


def test_every_part_of_the_report_is_on_the_page() -> None:
    text = render_html(REPORT)
    for words in (
        "the filter left 3 pairs, fewer than one batch",
        "Gap recovered",
        "190 prompts, 2 left out",
        "1,600 pairs, 10 failed",
        "gold reward 0.910",
        "1,200,000",
        "1 h 05 min of work and 10,710,000 tokens in 3 stages",
        "Li et al. 2025, equation 4",
        "  - seam\n",
        "3f9c21ab",
    ):
        assert words in text


def test_an_asking_that_serves_several_arms_stands_once_in_the_ledger() -> None:
    ledger = render_html(REPORT).split('<section id="ledger">')[1].split("</table>")[0]
    assert ledger.count("<tr>") == 2
    for words in ("seam, seam_filtered", "24,000", "5,000,000", "61,000,000", "900,000", "2 h 00 min", "15.0"):
        assert words in ledger


def test_there_is_no_ledger_where_nobody_was_asked() -> None:
    assert 'id="ledger"' not in render_html(replace(REPORT, labels=(LABELS[0],)))


def test_agreement_before_a_filter_stands_beside_that_of_the_labels_it_keeps() -> None:
    text = render_html(REPORT)
    assert text.index("Agreement</th>") < text.index("Agreement, all</th>")
    assert "before the arm&#39;s filter chose" in text


def test_a_tree_is_drawn_as_nested_lists_with_its_texts_escaped() -> None:
    drawn = render_html(REPORT).split('<ul class="tree">')[1].split("</details>")[0]
    assert drawn.count("<li") == 3
    assert drawn.index("Candor") < drawn.index("<ul>") < drawn.index("Logical") < drawn.index("Objective")
    assert "It is &lt;i&gt;frank&lt;/i&gt;." in drawn
    assert "weight 0.400, 0.000 bits, the thought came out empty, left: told less than the node before" in drawn
    assert "The weak model decided by Candor → Objective: p_a 0.710." in drawn


def test_markup_in_a_principle_and_in_a_drawn_pair_is_shown_and_not_obeyed() -> None:
    text = render_html(REPORT)
    assert not re.search(r"<(i|b|s|u)>", text)
    assert (
        "No &lt;b&gt;Risk&lt;/b&gt;" in text and "It &lt;s&gt;is&lt;/s&gt;." in text and "&lt;u&gt;so&lt;/u&gt;" in text
    )


def test_trees_have_a_section_only_where_there_are_some() -> None:
    assert 'id="searches"' in render_html(REPORT)
    assert 'id="searches"' not in render_html(replace(REPORT, searches=()))


def test_an_empty_report_makes_a_page() -> None:
    text = render_html(EMPTY)
    assert "No arm was trained on labels" in text
    assert outline(text).open == []


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_html(REPORT) == render_html(REPORT)


@pytest.mark.parametrize(
    "svg",
    [
        draw_arm_values(REPORT, "gold_reward"),
        draw_arm_differences(REPORT, "gold_reward"),
        draw_label_histogram(LABELS[0]),
    ],
    ids=["arms", "differences", "labels"],
)
def test_a_figure_is_one_svg_element_in_the_pages_own_colors(svg: str) -> None:
    assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own figure
    assert "currentColor" in svg
    assert "var(--arm" in svg
    assert not re.search(r"#01010\d|#000000|#ffffff|<style|font-family|<metadata", svg)


def test_a_figure_names_its_arms_in_text_and_in_order() -> None:
    texts = re.findall(r">([^<>\n]+)</text>", draw_arm_values(REPORT, "gold_reward"))
    assert [text for text in texts if text in {arm.name for arm in ARMS}] == [
        "base", "sft", "human", "weak", "flipped", "seam", "weak_model",
    ]  # fmt: skip
    assert "0.612" in texts


def test_the_whiskers_end_where_the_intervals_do() -> None:
    arms = tuple(replace(arm, metrics={"accuracy": ARMS[3].metrics["accuracy"]}) for arm in (ARMS[1], ARMS[3]))
    svg = draw_arm_values(replace(REPORT, arms=arms), "accuracy")
    lines = re.findall(r'd="M (\S+) \S+ \nL (\S+) \S+ \n" [^>]*stroke: var\(--(arm|reference)', svg)
    assert [kind for *_, kind in lines] == ["reference", "arm"]
    assert lines[0][:2] == lines[1][:2]
    assert float(lines[0][0]) < float(lines[0][1])


def test_there_is_no_figure_where_there_is_nothing_to_draw() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0)
    blank = replace(REPORT, arms=(replace(ARMS[3], metrics={"gold_reward": nothing}),), comparisons=())
    assert draw_arm_values(blank, "gold_reward") == ""
    assert draw_arm_differences(blank, "gold_reward") == ""
    assert draw_label_histogram(replace(LABELS[0], histogram=())) == ""


def test_drawing_leaves_matplotlibs_settings_as_they_were() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_arm_values(REPORT, "accuracy")
    assert dict(matplotlib.rcParams) == before


def test_a_sample_says_which_reward_its_answers_have() -> None:
    sample = Sample(prompt="User: Hi", completions={"weak": "Hello."}, scores={"weak": 0.5}, metric="gold_reward.own")
    agreed = metric(0.7, 0.1)
    proxy = RewardInfo(
        name="own",
        kind="trained_reward",
        metric="gold_reward.own",
        is_proxy=True,
        agreement=agreed,
        length_baseline=agreed,
    )
    report = replace(REPORT, samples=(sample,), rewards=(proxy,))
    assert "<small>proxy reward (own) 0.500</small>" in render_html(report)
    assert report_from_json(report_to_json(report)).samples == (sample,)
