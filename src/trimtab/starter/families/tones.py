"""The same news in three tones: formal, cheerful, or apologetic."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker
from trimtab.starter.corruptions import add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.text_analysis import TextAnalysis
from trimtab.starter.texts import Texts

_TEXTS = Texts("tones")


def _tone_scorer(tone: str, topic: tuple[str, ...]) -> ContentScorer:
    """Scores the content, times the tone; phrases of another tone reduce the score."""
    marks = _TEXTS.groups("marks")[tone]
    other_marks = tuple(
        mark
        for other, phrases in _TEXTS.groups("marks").items()
        if other != tone
        for mark in phrases
        if mark not in marks
    )

    def scorer(analysis: TextAnalysis) -> float:
        content = min(1.0, analysis.count_phrases(topic) / 2)
        tone_score = 1.0 if analysis.contains_any(marks) else 0.0
        if tone == "cheerful" and "!" in analysis.text:
            tone_score = max(tone_score, 0.5)
        if tone != "cheerful" and "!" in analysis.text:
            tone_score *= 0.7
        if analysis.contains_any(other_marks):
            tone_score *= 0.3
        return max(0.06, content * (0.35 + 0.65 * tone_score))

    return scorer


def _drafts(tone: str) -> Iterator[PromptDraft]:
    table, templates = _TEXTS.rows("news"), _TEXTS.groups("templates")
    for row_index, (news, topic, plain) in enumerate(table):
        for index, recipient in enumerate(_TEXTS.phrases("recipients")):
            for template in _TEXTS.phrases("request_templates"):
                rng = Random(f"tone:{tone}:{news}:{recipient}:{template}")
                all_tones = [rng.choice(texts).format(news) for texts in templates.values()]
                wrong_news = rng.choice(templates[tone]).format(table[(row_index + 1 + index) % len(table)][0])
                right = rng.choice(templates[tone]).format(news)
                yield PromptDraft(
                    prompt=template.format(recipient, news, tone)
                    .replace(" a apologetic", " an apologetic")
                    .replace("In a ap", "In an ap"),
                    checker=build_checker(_tone_scorer(tone, tuple(topic.split())), short=20, fair=30, long=60),
                    responses=tuple(
                        dict.fromkeys(
                            (
                                right,
                                *all_tones,
                                plain,
                                wrong_news,
                                add_padding(rng, right),
                                add_rudeness(rng, plain),
                                *sample_off_task_responses(rng),
                            )
                        )
                    ),
                )


def draft_formal() -> Iterator[PromptDraft]:
    return _drafts("formal")


def draft_cheerful() -> Iterator[PromptDraft]:
    return _drafts("cheerful")


def draft_apologetic() -> Iterator[PromptDraft]:
    return _drafts("apologetic")


TONE_FAMILIES = (
    TaskFamily(
        name="tone_formal", objective="helpful", description="news in a formal tone", generate_drafts=draft_formal
    ),
    TaskFamily(
        name="tone_cheerful", objective="helpful", description="news in a cheerful tone", generate_drafts=draft_cheerful
    ),
    TaskFamily(
        name="tone_apologetic",
        objective="helpful",
        description="news with an apology",
        generate_drafts=draft_apologetic,
    ),
)
