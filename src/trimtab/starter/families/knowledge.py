"""Questions about the world and about words, with one right answer from a table."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.families.closed import STYLES, draft_closed_question
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.row_parser import (
    CAPITALS,
    CATEGORIES,
    OPPOSITES,
    PAST_TENSES,
    PLURALS,
    TRANSLATIONS,
    YOUNG_ANIMALS,
)

CAPITAL_QUESTIONS = (
    "What is the capital of {}?", "Which city is the capital of {}?", "A quiz asks for the capital of {}. What is it?",
)  # fmt: skip
YOUNG_ANIMAL_QUESTIONS = (
    "What is a young {} called?",
    "What do you call the young of a {}?",
    "My daughter asks what a baby {} is called.",
)
OPPOSITE_QUESTIONS = ('What is the opposite of "{}"?', 'Give me a word that means the opposite of "{}".')
CATEGORY_QUESTIONS = (
    'Is "{0}" a {1} or a {2}?',
    'Which fits "{0}" better, {1} or {2}?',
    'Sort this word: "{0}". Is it a {1} or a {2}?',
)


def _draft_from_table(
    name: str, table: tuple[tuple[str, str], ...], asks: tuple[str, ...], sentence: str, noun: str
) -> Iterator[PromptDraft]:
    everything = tuple(right for _, right in table)
    for key, right in table:
        for ask in asks:
            for style in STYLES:
                rng = Random(f"{name}:{key}:{ask}:{style}")
                wrong = rng.choice([one for one in everything if one != right])
                said = sentence.replace("<key>", key)
                yield draft_closed_question(
                    rng,
                    ask.format(key),
                    right=right,
                    wrong=wrong,
                    others=everything,
                    sentence=said,
                    noun=noun,
                    style=style,
                )


def draft_capitals() -> Iterator[PromptDraft]:
    yield from _draft_from_table("capital", CAPITALS, CAPITAL_QUESTIONS[:2], "The capital of <key> is {}.", "city")


def draft_young_animals() -> Iterator[PromptDraft]:
    yield from _draft_from_table(
        "young", YOUNG_ANIMALS, YOUNG_ANIMAL_QUESTIONS, "A young <key> is called a {}.", "word"
    )


def draft_opposites() -> Iterator[PromptDraft]:
    words = tuple(word for pair in OPPOSITES for word in pair)
    for key, right in (
        *OPPOSITES,
        *((right, left) for left, right in OPPOSITES if left != "light" and right != "light"),
    ):
        for style, ask in zip(STYLES, (*OPPOSITE_QUESTIONS, OPPOSITE_QUESTIONS[0]), strict=True):
            rng = Random(f"opposite:{key}:{style}")
            wrong = rng.choice([one for one in words if one not in (key, right)])
            said = f'The opposite of "{key}" is "{{}}".'
            yield draft_closed_question(
                rng, ask.format(key), right=right, wrong=wrong, sentence=said, noun="word", style=style
            )


def draft_grammar() -> Iterator[PromptDraft]:
    for table, ask, kind in (
        (PLURALS, 'What is the plural of "{}"?', "plural"),
        (PAST_TENSES, 'What is the past tense of "{}"?', "past tense"),
    ):
        for key, right in table:
            for style in STYLES:
                rng = Random(f"grammar:{kind}:{key}:{style}")
                wrong = rng.choice((f"{key}s" if kind == "plural" else f"{key}ed", f"{key}en", rng.choice(table)[1]))
                wrong = wrong if wrong != right else f"{key}en"
                said = f'The {kind} of "{key}" is "{{}}".'
                yield draft_closed_question(
                    rng, ask.format(key), right=right, wrong=wrong, sentence=said, noun="word", style=style
                )


def draft_categories() -> Iterator[PromptDraft]:
    for group, members in CATEGORIES.items():
        for member in members:
            for style in ("only", "sentence"):
                rng = Random(f"category:{member}:{style}")
                other = rng.choice([one for one in CATEGORIES if one != group])
                first, second = rng.sample((group, other), 2)
                ask = rng.choice(CATEGORY_QUESTIONS).format(member, first, second)
                said = f'The word "{member}" names a {{}}.'
                yield draft_closed_question(
                    rng, ask, right=group, wrong=other, sentence=said, noun="group", style=style
                )


def draft_translations() -> Iterator[PromptDraft]:
    for row in TRANSLATIONS:
        for column, language in enumerate(("Spanish", "French", "German"), start=1):
            for style in ("only", "sentence"):
                rng = Random(f"translation:{row[0]}:{language}:{style}")
                strangers = [other[column] for other in TRANSLATIONS if other[column] not in row]
                wrong = rng.choice([*strangers, *(word for word in row[1:] if word not in (row[column], row[0]))])
                ask = rng.choice(('How do you say "{}" in {}?', 'Translate "{}" into {}.')).format(row[0], language)
                said = f'The {language} word for "{row[0]}" is "{{}}".'
                yield draft_closed_question(
                    rng, ask, right=row[column], wrong=wrong, sentence=said, noun="word", style=style
                )


KNOWLEDGE = (
    TaskFamily(
        name="capital", objective="helpful", description="capitals of countries", generate_drafts=draft_capitals
    ),
    TaskFamily(
        name="young_animal",
        objective="helpful",
        description="what young animals are called",
        generate_drafts=draft_young_animals,
    ),
    TaskFamily(
        name="opposite", objective="helpful", description="the opposite of a word", generate_drafts=draft_opposites
    ),
    TaskFamily(
        name="grammar", objective="helpful", description="plurals and past tenses", generate_drafts=draft_grammar
    ),
    TaskFamily(
        name="category",
        objective="helpful",
        description="which of two groups a word belongs to",
        generate_drafts=draft_categories,
    ),
    TaskFamily(
        name="translation",
        objective="helpful",
        description="a word in Spanish, French or German",
        generate_drafts=draft_translations,
    ),
)
