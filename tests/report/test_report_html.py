import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from sample_report import ARMS, LABELS, REPORT, metric

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


def test_a_page_is_well_formed_and_ids_are_unique() -> None:
    page = outline(render_html(REPORT))
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags.count("svg") == 5


def test_scrollable_elements_have_a_name_and_keyboard_focus() -> None:
    text = render_html(REPORT)
    scrollable = re.findall(r'<(?:div class="wide"|pre)[^>]*>', text)
    assert len(scrollable) > 8
    for tag in scrollable:
        assert re.search(r' tabindex="0" role="region" aria-label="[^"{}]+">$', tag), tag


def test_a_page_is_self_contained() -> None:
    text = render_html(REPORT)
    page = outline(text)
    assert not {"link", "img", "iframe", "object", "form"} & set(page.tags)
    assert all(address.startswith("#") for address in page.addresses)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_the_content_security_policy_allows_no_network_and_only_our_script() -> None:
    text = render_html(REPORT)
    match = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert match is not None
    rules = dict(rule.strip().split(" ", 1) for rule in match[1].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'unsafe-inline'"
    assert rules["script-src"] == f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
    assert not {"connect-src", "img-src"} & set(rules)


def test_markup_in_a_sample_is_escaped() -> None:
    text = render_html(REPORT)
    assert text.count("<script") == 1
    assert "Lead. &lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "&lt;b&gt;heavier&lt;/b&gt;" in text


def test_markup_in_an_arm_name_is_escaped_in_figures_too() -> None:
    arm = replace(ARMS[3], name="</svg><i>$x$")
    text = render_html(replace(REPORT, arms=(arm,), labels=(replace(LABELS[0], arm='"><i>'),)))
    assert "<i>" not in text
    assert "&lt;/svg&gt;&lt;i&gt;$x$" in draw_arm_values(replace(REPORT, arms=(arm,)), "gold_reward")
    assert outline(text).open == []


def test_the_page_starts_with_the_verdict() -> None:
    text = render_html(REPORT)
    assert text.index("Weak labels beat SFT alone") < text.index("<svg") < text.index("<table")


def test_synthetic_data_has_a_badge_next_to_the_title() -> None:
    badge = '<span class="badge">synthetic data</span>'
    assert badge in render_html(REPORT)
    assert badge not in render_html(replace(REPORT, notes=("Each arm was trained once.",)))


def test_every_part_of_the_report_is_on_the_page() -> None:
    text = render_html(REPORT)
    for words in (
        "the filter left 3 pairs, fewer than one batch",
        "PGR",
        "190 prompts, 2 left out",
        "1,600 pairs, 10 failed",
        "gold reward 0.910",
        "1,200,000",
        "1 h 05 min and 10,710,000 tokens in 3 stages",
        "Li et al. 2025, equation 4",
        "  - seam\n",
        "3f9c21ab",
    ):
        assert words in text


def test_an_annotation_shared_by_several_arms_has_one_row_of_inference_cost() -> None:
    table = render_html(REPORT).split('<section id="inference_cost">')[1].split("</table>")[0]
    assert table.count("<tr>") == 2
    for words in ("seam, seam_filtered", "24,000", "5,000,000", "61,000,000", "900,000", "2 h 00 min", "15.0"):
        assert words in table


def test_without_prompted_annotators_there_is_no_inference_cost() -> None:
    assert 'id="inference_cost"' not in render_html(replace(REPORT, labels=(LABELS[0],)))


def test_agreement_before_filtering_is_next_to_agreement() -> None:
    text = render_html(REPORT)
    assert text.index("Agreement</th>") < text.index("Agreement before filtering</th>")
    assert "before the arm&#39;s filter." in text


def test_a_tree_is_rendered_as_nested_lists_with_escaped_texts() -> None:
    tree = render_html(REPORT).split('<ul class="tree">')[1].split("</details>")[0]
    assert tree.count("<li") == 3
    assert tree.index("Candor") < tree.index("<ul>") < tree.index("Logical") < tree.index("Objective")
    assert "It is &lt;i&gt;frank&lt;/i&gt;." in tree
    assert "weight 0.400, 0.000 bits, empty thought, dropped: less information than the node before" in tree
    assert "The weak model decided given Candor → Objective: p_a 0.710." in tree


def test_markup_in_a_principle_and_in_a_sample_pair_is_escaped() -> None:
    text = render_html(REPORT)
    assert not re.search(r"<(i|b|s|u)>", text)
    assert (
        "No &lt;b&gt;Risk&lt;/b&gt;" in text and "It &lt;s&gt;is&lt;/s&gt;." in text and "&lt;u&gt;so&lt;/u&gt;" in text
    )


def test_trees_have_a_section_only_if_there_are_any() -> None:
    assert 'id="searches"' in render_html(REPORT)
    assert 'id="searches"' not in render_html(replace(REPORT, searches=()))


def test_an_empty_report_makes_a_page() -> None:
    text = render_html(EMPTY)
    assert "No student was trained on labels" in text
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
def test_a_figure_is_one_svg_element_in_the_colors_of_the_page(svg: str) -> None:
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


def test_without_values_there_is_no_figure() -> None:
    nothing = Metric(value=None, low=None, high=None, n=0)
    blank = replace(REPORT, arms=(replace(ARMS[3], metrics={"gold_reward": nothing}),), comparisons=())
    assert draw_arm_values(blank, "gold_reward") == ""
    assert draw_arm_differences(blank, "gold_reward") == ""
    assert draw_label_histogram(replace(LABELS[0], histogram=())) == ""


def test_drawing_does_not_change_matplotlib_settings() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_arm_values(REPORT, "accuracy")
    assert dict(matplotlib.rcParams) == before


def test_a_sample_names_the_reward_of_its_responses() -> None:
    sample = Sample(prompt="User: Hi", completions={"weak": "Hello."}, scores={"weak": 0.5}, metric="gold_reward.own")
    agreement = metric(0.7, 0.1)
    proxy = RewardInfo(
        name="own",
        kind="study_reward_model",
        metric="gold_reward.own",
        is_proxy=True,
        agreement=agreement,
        length_baseline=agreement,
    )
    report = replace(REPORT, samples=(sample,), rewards=(proxy,))
    assert "<small>proxy reward (own) 0.500</small>" in render_html(report)
    assert report_from_json(report_to_json(report)).samples == (sample,)
