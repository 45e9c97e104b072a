"""Open questions with a constraint on the form of the answer: its length, letter case, or words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker, product_scorer, rule_scorer, topic_scorer
from trimtab.starter.corruptions import add_opener, add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.text_analysis import TextAnalysis, to_padded_line
from trimtab.starter.texts import Texts

_TEXTS = Texts("forms")

LIMITS = (5, 6, 8, 10, 12, 15)
NUMBER_NAMES = ("", "one", "two", "three")


def _word_limit_scorer(n_words: int) -> ContentScorer:
    """1 within the limit; above it, 0.62 minus 0.08 per extra word, but at least 0.1."""
    return lambda analysis: max(0.1, 1.0 if analysis.n_words <= n_words else 0.7 - 0.08 * (analysis.n_words - n_words))


def _sentence_count_scorer(n_sentences: int) -> ContentScorer:
    """1 for the requested number of sentences, 0.45 if it differs by one, 0.2 otherwise."""
    return lambda analysis: (1.0, 0.45, 0.2)[min(2, abs(analysis.n_sentences - n_sentences))]


def _topic_words(row: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(row[4].split())


def _join_sentences(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    return " ".join(row[index] for index in sorted(rng.sample((1, 2, 3), n_sentences)))


def _off_topic_sentences(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    sentences = [sentence for topic in _TEXTS.rows("topics") for sentence in topic[1:4] if sentence not in row]
    return " ".join(rng.sample(sentences, n_sentences))


def _responses(rng: Random, row: tuple[str, ...], *correct: str) -> tuple[str, ...]:
    """The correct responses, one to three true sentences, one to three off-topic sentences, and corrupted responses."""
    responses = [
        *correct,
        *(_join_sentences(rng, row, n) for n in (1, 2, 3)),
        *(_off_topic_sentences(rng, row, n) for n in (1, 2, 3)),
    ]
    responses += [
        add_padding(rng, _join_sentences(rng, row, 1)),
        add_rudeness(rng, row[1]),
        add_opener(rng, _join_sentences(rng, row, 1)),
        *sample_off_task_responses(rng),
    ]
    return tuple(dict.fromkeys(responses))


def draft_word_limits() -> Iterator[PromptDraft]:
    for row in _TEXTS.rows("topics"):
        for limit in LIMITS:
            rng = Random(f"words:{row[0]}:{limit}")
            yield PromptDraft(
                prompt=f"{row[0]} {rng.choice(_TEXTS.phrases('limit_instructions')).format(limit)}",
                checker=build_checker(
                    product_scorer(topic_scorer(_topic_words(row), 1), _word_limit_scorer(limit)),
                    short=limit,
                    fair=limit + 4,
                    long=limit + 30,
                ),
                responses=_responses(rng, row),
            )


def draft_sentence_counts() -> Iterator[PromptDraft]:
    for row in _TEXTS.rows("topics"):
        for count in (1, 2, 3):
            for template in ("Answer in exactly {} {}.", "Give me {} {}, no more and no less."):
                rng = Random(f"sentences:{row[0]}:{count}:{template}")
                scorer = product_scorer(topic_scorer(_topic_words(row), 1), _sentence_count_scorer(count))
                yield PromptDraft(
                    prompt=f"{row[0]} {template.format(NUMBER_NAMES[count], 'sentence' if count == 1 else 'sentences')}",
                    checker=build_checker(scorer, short=9 * count, fair=16 * count, long=30 + 16 * count),
                    responses=_responses(rng, row, _join_sentences(rng, row, count), _join_sentences(rng, row, count)),
                )


def draft_letter_cases() -> Iterator[PromptDraft]:
    rules = (
        ("Write in capital letters only.", str.upper),
        ("Write everything in uppercase.", str.upper),
        ("Use lowercase letters only.", str.lower),
        ("Do not use any capital letters.", str.lower),
        ("Use normal capitalization.", str),
    )
    for row in _TEXTS.rows("topics"):
        for rule, change in rules:
            rng = Random(f"case:{row[0]}:{rule}")
            one, two = _join_sentences(rng, row, 1), _join_sentences(rng, row, 2)
            yield PromptDraft(
                prompt=f"{row[0]} {rule}",
                checker=build_checker(
                    product_scorer(
                        topic_scorer(_topic_words(row), 1), _case_scorer(change is str.upper, change is str.lower)
                    ),
                    short=14,
                    fair=22,
                ),
                responses=(
                    *(transform(text) for text in (one, two) for transform in (str, str.upper, str.lower)),
                    change(_off_topic_sentences(rng, row, 1)),
                    change(_off_topic_sentences(rng, row, 2)),
                    change(add_padding(rng, one)),
                    change(add_rudeness(rng, one)),
                    *sample_off_task_responses(rng),
                ),
            )


def _case_scorer(upper: bool, lower: bool) -> ContentScorer:
    """The fraction of letters in the requested case, squared; normal capitalization needs both cases."""

    def scorer(analysis: TextAnalysis) -> float:
        letters = [letter for letter in analysis.text if letter.isalpha()]
        uppercase = sum(letter.isupper() for letter in letters) / max(1, len(letters))
        if upper:
            return max(0.15, uppercase**2)
        if lower:
            return max(0.15, 1.0 - 0.4 * (uppercase > 0) - uppercase)
        return 1.0 if 0 < uppercase < 0.3 and analysis.text.strip()[0].isupper() else 0.35

    return scorer


def draft_forbidden_words() -> Iterator[PromptDraft]:
    for row in _TEXTS.rows("topics"):
        for index, word in enumerate(_topic_words(row)[:5]):
            rng = Random(f"forbidden:{row[0]}:{word}")
            line = to_padded_line(word)
            others = tuple(other for other in _topic_words(row) if other != word)
            allowed = [text for text in row[1:4] if line not in to_padded_line(text)]
            violating = [text for text in row[1:4] if line in to_padded_line(text)] or [
                f"It is about {word}. {row[1]}",
                f"Think of {word}.",
            ]
            both = f"{rng.choice(allowed or violating)} {violating[-1]}"
            yield PromptDraft(
                prompt=f'{row[0]} {("Do not use", "Answer without")[index % 2]} the word "{word}".',
                checker=build_checker(
                    product_scorer(topic_scorer((*others, word), 1), _forbidden_word_scorer(line)), short=14, fair=22
                ),
                responses=tuple(dict.fromkeys((*allowed, *violating, both, *_responses(rng, row, *allowed[:1])))),
            )


def _forbidden_word_scorer(line: str) -> ContentScorer:
    return rule_scorer(lambda analysis: line not in analysis.padded_line, 0.3)


def _repeat_scorer(text: str) -> ContentScorer:
    """1 for exactly the text, less with a different letter case or additional words, 0.1 if it is missing."""
    line, n_words = to_padded_line(text), len(text.split())

    def scorer(analysis: TextAnalysis) -> float:
        if analysis.text.strip() == text:
            return 1.0
        if line not in analysis.padded_line:
            return 0.1
        return max(0.3, 0.85 - 0.06 * max(0, analysis.n_words - n_words))

    return scorer


def draft_repeats() -> Iterator[PromptDraft]:
    for row in _TEXTS.rows("topics"):
        for text in (*row[1:4], " ".join(row[1:3]), " ".join(row[2:4])):
            rng = Random(f"repeat:{text}")
            template = rng.choice(("Repeat this exactly, word for word: {}", "Copy this text and add nothing: {}"))
            changed = text.replace(" the ", " a ") if " the " in text else text.rstrip(".") + " too."
            shortened = " ".join(text.split()[:-2]) + "."
            yield PromptDraft(
                prompt=template.format(text),
                checker=build_checker(_repeat_scorer(text), short=16, fair=24),
                responses=tuple(
                    dict.fromkeys(
                        (
                            text,
                            add_opener(rng, text),
                            f'The text says: "{text}"',
                            text.upper(),
                            changed,
                            f"{changed} {_join_sentences(rng, row, 1)}",
                            shortened,
                            _off_topic_sentences(rng, row, 1),
                            _off_topic_sentences(rng, row, 2),
                            add_padding(rng, text),
                            add_rudeness(rng, text),
                            *sample_off_task_responses(rng),
                        )
                    )
                ),
            )


FORMS = (
    TaskFamily(
        name="word_limit",
        objective="helpful",
        description="a short answer within a number of words",
        generate_drafts=draft_word_limits,
    ),
    TaskFamily(
        name="sentence_count",
        objective="helpful",
        description="an exact number of sentences",
        generate_drafts=draft_sentence_counts,
    ),
    TaskFamily(
        name="letter_case",
        objective="helpful",
        description="uppercase only, lowercase only, or normal case",
        generate_drafts=draft_letter_cases,
    ),
    TaskFamily(
        name="forbidden_word",
        objective="helpful",
        description="an answer without a given word",
        generate_drafts=draft_forbidden_words,
    ),
    TaskFamily(
        name="repeat", objective="helpful", description="an exact copy of a text", generate_drafts=draft_repeats
    ),
)
