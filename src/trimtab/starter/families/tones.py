"""The same news in three tones: formal, cheerful, or sorry."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker
from trimtab.starter.corruptions import add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.row_parser import parse_rows
from trimtab.starter.text_analysis import TextAnalysis

NEWS = parse_rows("""
the order will arrive on Friday | order friday arrive delivery | The order will arrive on Friday.
the meeting has moved to room four | meeting room four moved | The meeting is now in room four.
the shop opens an hour later | shop opens hour later open | The shop opens an hour later.
the car is ready to be picked up | car ready pick picked | The car is ready.
the train is ten minutes late | train ten minutes late delay | The train is ten minutes late.
the class is full this month | class full month | The class is full this month.
lunch is served in the garden | lunch garden served | Lunch is in the garden.
the library closes at six | library closes six close | The library closes at six.
the red jacket is sold out | jacket red sold | The red jacket is sold out.
the tickets were sent by mail | tickets ticket sent mail | The tickets are in the mail.
the pool is closed on Monday | pool closed monday | The pool is closed on Monday.
the report is due on Tuesday | report due tuesday | The report is due on Tuesday.
""")
RECIPIENTS = {"customer": "a customer", "colleague": "a colleague", "guest": "a guest", "visitor": "a visitor"}
TONES = {
    "formal": (
        ("Dear Sir or Madam, we would like to inform you that {}.", "Please be informed that {}. Yours sincerely."),
        (
            "dear",
            "sir",
            "madam",
            "inform",
            "informed",
            "sincerely",
            "regards",
            "kindly",
            "would like",
            "please",
            "respectfully",
        ),
    ),
    "cheerful": (
        ("Good news, {}! Have a lovely day!", "Hooray, {}!", "Hello there! Just so you know, {}. Have fun!"),
        (
            "good news",
            "hooray",
            "lovely",
            "fun",
            "great",
            "happy",
            "wonderful",
            "yay",
            "hello",
            "enjoy",
            "exciting",
            "hi",
            "thrilled",
        ),
    ),
    "apologetic": (
        (
            "We are sorry, but {}. Please excuse the trouble.",
            "Our apologies: {}.",
            "I am so sorry to tell you that {}.",
        ),
        ("sorry", "apologies", "apologize", "excuse", "regret", "unfortunately", "forgive", "apology"),
    ),
}
REQUEST_TEMPLATES = (
    "Tell {} that {}. Sound {}.",
    "Write a short {2} note to {0}: {1}.",
    "In a {2} tone, let {0} know that {1}.",
)


def _tone_scorer(tone: str, topic: tuple[str, ...]) -> ContentScorer:
    """The news is half of it, the tone the other half; marks of another tone take some of it back."""
    marks = TONES[tone][1]
    foreign = tuple(mark for other, (_, words) in TONES.items() if other != tone for mark in words if mark not in marks)

    def core(reading: TextAnalysis) -> float:
        news = min(1.0, reading.count_phrases(topic) / 2)
        sound = 1.0 if reading.contains_any(marks) else 0.0
        if tone == "cheerful" and "!" in reading.text:
            sound = max(sound, 0.5)
        if tone != "cheerful" and "!" in reading.text:
            sound *= 0.7
        if reading.contains_any(foreign):
            sound *= 0.3
        return max(0.06, news * (0.35 + 0.65 * sound))

    return core


def _drafts(tone: str) -> Iterator[PromptDraft]:
    for place, (news, topic, plain) in enumerate(NEWS):
        for index, whom in enumerate(RECIPIENTS.values()):
            for ask in REQUEST_TEMPLATES:
                rng = Random(f"tone:{tone}:{news}:{whom}:{ask}")
                said = [rng.choice(TONES[one][0]).format(news) for one in TONES]
                strange = rng.choice(TONES[tone][0]).format(NEWS[(place + 1 + index) % len(NEWS)][0])
                right = rng.choice(TONES[tone][0]).format(news)
                yield PromptDraft(
                    prompt=ask.format(whom, news, tone)
                    .replace(" a apologetic", " an apologetic")
                    .replace("In a ap", "In an ap"),
                    checker=build_checker(_tone_scorer(tone, tuple(topic.split())), short=20, fair=30, long=60),
                    responses=tuple(
                        dict.fromkeys(
                            (
                                right,
                                *said,
                                plain,
                                strange,
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
