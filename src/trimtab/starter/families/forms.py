"""Small open questions with a rule about the form of the answer: its length, its case, its words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker, product_scorer, rule_scorer, topic_scorer
from trimtab.starter.corruptions import add_opener, add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.families.topics import SENTENCES, TOPICS, topic_words
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.text_analysis import TextAnalysis, to_padded_line

LIMITS = (5, 6, 8, 10, 12, 15)
LIMIT_INSTRUCTIONS = ("Answer in at most {} words.", "Use no more than {} words.")
NUMBER_NAMES = ("", "one", "two", "three")


def _word_limit_scorer(n_words: int) -> ContentScorer:
    """1 within the limit, 0.1 less for each word beyond it, never below 0.1."""
    return lambda reading: max(0.1, 1.0 if reading.n_words <= n_words else 0.7 - 0.08 * (reading.n_words - n_words))


def _sentence_count_scorer(n_sentences: int) -> ContentScorer:
    """1 for the wanted number of sentences, 0.45 for one more or one less, 0.2 beyond."""
    return lambda reading: (1.0, 0.45, 0.2)[min(2, abs(reading.n_sentences - n_sentences))]


def _join_sentences(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    return " ".join(row[place] for place in sorted(rng.sample((1, 2, 3), n_sentences)))


def _off_topic_sentences(rng: Random, row: tuple[str, ...], n_sentences: int) -> str:
    return " ".join(rng.sample([one for one in SENTENCES if one not in row], n_sentences))


def _responses(rng: Random, row: tuple[str, ...], *fitting: str) -> tuple[str, ...]:
    """The fitting ones, one to three true sentences, one to three about something else, and the usual defects."""
    made = [
        *fitting,
        *(_join_sentences(rng, row, n) for n in (1, 2, 3)),
        *(_off_topic_sentences(rng, row, n) for n in (1, 2, 3)),
    ]
    made += [
        add_padding(rng, _join_sentences(rng, row, 1)),
        add_rudeness(rng, row[1]),
        add_opener(rng, _join_sentences(rng, row, 1)),
        *sample_off_task_responses(rng),
    ]
    return tuple(dict.fromkeys(made))


def draft_word_limits() -> Iterator[PromptDraft]:
    for row in TOPICS:
        for limit in LIMITS:
            rng = Random(f"words:{row[0]}:{limit}")
            yield PromptDraft(
                prompt=f"{row[0]} {rng.choice(LIMIT_INSTRUCTIONS).format(limit)}",
                checker=build_checker(
                    product_scorer(topic_scorer(topic_words(row), 1), _word_limit_scorer(limit)),
                    short=limit,
                    fair=limit + 4,
                    long=limit + 30,
                ),
                responses=_responses(rng, row),
            )


def draft_sentence_counts() -> Iterator[PromptDraft]:
    for row in TOPICS:
        for wanted in (1, 2, 3):
            for ask in ("Answer in exactly {} {}.", "Give me {} {}, no more and no less."):
                rng = Random(f"sentences:{row[0]}:{wanted}:{ask}")
                core = product_scorer(topic_scorer(topic_words(row), 1), _sentence_count_scorer(wanted))
                yield PromptDraft(
                    prompt=f"{row[0]} {ask.format(NUMBER_NAMES[wanted], 'sentence' if wanted == 1 else 'sentences')}",
                    checker=build_checker(core, short=9 * wanted, fair=16 * wanted, long=30 + 16 * wanted),
                    responses=_responses(
                        rng, row, _join_sentences(rng, row, wanted), _join_sentences(rng, row, wanted)
                    ),
                )


def draft_letter_cases() -> Iterator[PromptDraft]:
    rules = (
        ("Write in capital letters only.", str.upper),
        ("Write everything in uppercase.", str.upper),
        ("Use lowercase letters only.", str.lower),
        ("Do not use any capital letters.", str.lower),
        ("Use normal capitalization.", str),
    )
    for row in TOPICS:
        for rule, change in rules:
            rng = Random(f"case:{row[0]}:{rule}")
            one, two = _join_sentences(rng, row, 1), _join_sentences(rng, row, 2)
            yield PromptDraft(
                prompt=f"{row[0]} {rule}",
                checker=build_checker(
                    product_scorer(
                        topic_scorer(topic_words(row), 1), _case_scorer(change is str.upper, change is str.lower)
                    ),
                    short=14,
                    fair=22,
                ),
                responses=(
                    *(form(text) for text in (one, two) for form in (str, str.upper, str.lower)),
                    change(_off_topic_sentences(rng, row, 1)),
                    change(_off_topic_sentences(rng, row, 2)),
                    change(add_padding(rng, one)),
                    change(add_rudeness(rng, one)),
                    *sample_off_task_responses(rng),
                ),
            )


def _case_scorer(upper: bool, lower: bool) -> ContentScorer:
    """The share of letters in the wanted case, squared; normal capitalization wants some of both."""

    def core(reading: TextAnalysis) -> float:
        letters = [letter for letter in reading.text if letter.isalpha()]
        share = sum(letter.isupper() for letter in letters) / max(1, len(letters))
        if upper:
            return max(0.15, share**2)
        if lower:
            return max(0.15, 1.0 - 0.4 * (share > 0) - share)
        return 1.0 if 0 < share < 0.3 and reading.text.strip()[0].isupper() else 0.35

    return core


def draft_forbidden_words() -> Iterator[PromptDraft]:
    for row in TOPICS:
        for place, word in enumerate(topic_words(row)[:5]):
            rng = Random(f"forbidden:{row[0]}:{word}")
            line = to_padded_line(word)
            rest = tuple(other for other in topic_words(row) if other != word)
            clean = [text for text in row[1:4] if line not in to_padded_line(text)]
            caught = [text for text in row[1:4] if line in to_padded_line(text)] or [
                f"It is about {word}. {row[1]}",
                f"Think of {word}.",
            ]
            both = f"{rng.choice(clean or caught)} {caught[-1]}"
            yield PromptDraft(
                prompt=f'{row[0]} {("Do not use", "Answer without")[place % 2]} the word "{word}".',
                checker=build_checker(
                    product_scorer(topic_scorer((*rest, word), 1), _forbidden_word_scorer(line)), short=14, fair=22
                ),
                responses=tuple(dict.fromkeys((*clean, *caught, both, *_responses(rng, row, *clean[:1])))),
            )


def _forbidden_word_scorer(line: str) -> ContentScorer:
    return rule_scorer(lambda reading: line not in reading.padded_line, 0.3)


def _repeat_scorer(wanted: str) -> ContentScorer:
    """1 for the text and nothing else, less for other letters or words around it; 0.1 where it is not there."""
    line, n_wanted = to_padded_line(wanted), len(wanted.split())

    def core(reading: TextAnalysis) -> float:
        if reading.text.strip() == wanted:
            return 1.0
        if line not in reading.padded_line:
            return 0.1
        return max(0.3, 0.85 - 0.06 * max(0, reading.n_words - n_wanted))

    return core


def draft_repeats() -> Iterator[PromptDraft]:
    for row in TOPICS:
        for wanted in (*row[1:4], " ".join(row[1:3]), " ".join(row[2:4])):
            rng = Random(f"repeat:{wanted}")
            ask = rng.choice(("Repeat this exactly, word for word: {}", "Copy this text and add nothing: {}"))
            changed = wanted.replace(" the ", " a ") if " the " in wanted else wanted.rstrip(".") + " too."
            shortened = " ".join(wanted.split()[:-2]) + "."
            yield PromptDraft(
                prompt=ask.format(wanted),
                checker=build_checker(_repeat_scorer(wanted), short=16, fair=24),
                responses=tuple(
                    dict.fromkeys(
                        (
                            wanted,
                            add_opener(rng, wanted),
                            f'The text says: "{wanted}"',
                            wanted.upper(),
                            changed,
                            f"{changed} {_join_sentences(rng, row, 1)}",
                            shortened,
                            _off_topic_sentences(rng, row, 1),
                            _off_topic_sentences(rng, row, 2),
                            add_padding(rng, wanted),
                            add_rudeness(rng, wanted),
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
        description="capitals only, small letters only, or neither",
        generate_drafts=draft_letter_cases,
    ),
    TaskFamily(
        name="forbidden_word",
        objective="helpful",
        description="an answer without one given word",
        generate_drafts=draft_forbidden_words,
    ),
    TaskFamily(
        name="repeat", objective="helpful", description="a text repeated word for word", generate_drafts=draft_repeats
    ),
)
