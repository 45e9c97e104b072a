"""Questions about the world and about words, with one right answer from a table."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.families.closed import STYLES, closed
from trimtab.starter.item import Draft, Family
from trimtab.starter.tables import CAPITALS, GROUPS, OPPOSITES, PAST, PLURALS, WORDS_ABROAD, YOUNG

CAPITAL_ASKS = (
    "What is the capital of {}?", "Which city is the capital of {}?", "A quiz asks for the capital of {}. What is it?",
)  # fmt: skip
YOUNG_ASKS = (
    "What is a young {} called?",
    "What do you call the young of a {}?",
    "My daughter asks what a baby {} is called.",
)
OPPOSITE_ASKS = ('What is the opposite of "{}"?', 'Give me a word that means the opposite of "{}".')
CATEGORY_ASKS = (
    'Is "{0}" a {1} or a {2}?',
    'Which fits "{0}" better, {1} or {2}?',
    'Sort this word: "{0}". Is it a {1} or a {2}?',
)


def _from_table(
    name: str, table: tuple[tuple[str, str], ...], asks: tuple[str, ...], sentence: str, noun: str
) -> Iterator[Draft]:
    everything = tuple(right for _, right in table)
    for key, right in table:
        for ask in asks:
            for style in STYLES:
                rng = Random(f"{name}:{key}:{ask}:{style}")
                wrong = rng.choice([one for one in everything if one != right])
                said = sentence.replace("<key>", key)
                yield closed(
                    rng,
                    ask.format(key),
                    right=right,
                    wrong=wrong,
                    others=everything,
                    sentence=said,
                    noun=noun,
                    style=style,
                )


def capitals() -> Iterator[Draft]:
    yield from _from_table("capital", CAPITALS, CAPITAL_ASKS[:2], "The capital of <key> is {}.", "city")


def young_animals() -> Iterator[Draft]:
    yield from _from_table("young", YOUNG, YOUNG_ASKS, "A young <key> is called a {}.", "word")


def opposites() -> Iterator[Draft]:
    words = tuple(word for pair in OPPOSITES for word in pair)
    for key, right in (
        *OPPOSITES,
        *((right, left) for left, right in OPPOSITES if left != "light" and right != "light"),
    ):
        for style, ask in zip(STYLES, (*OPPOSITE_ASKS, OPPOSITE_ASKS[0]), strict=True):
            rng = Random(f"opposite:{key}:{style}")
            wrong = rng.choice([one for one in words if one not in (key, right)])
            said = f'The opposite of "{key}" is "{{}}".'
            yield closed(rng, ask.format(key), right=right, wrong=wrong, sentence=said, noun="word", style=style)


def grammar() -> Iterator[Draft]:
    for table, ask, kind in (
        (PLURALS, 'What is the plural of "{}"?', "plural"),
        (PAST, 'What is the past tense of "{}"?', "past tense"),
    ):
        for key, right in table:
            for style in STYLES:
                rng = Random(f"grammar:{kind}:{key}:{style}")
                wrong = rng.choice((f"{key}s" if kind == "plural" else f"{key}ed", f"{key}en", rng.choice(table)[1]))
                wrong = wrong if wrong != right else f"{key}en"
                said = f'The {kind} of "{key}" is "{{}}".'
                yield closed(rng, ask.format(key), right=right, wrong=wrong, sentence=said, noun="word", style=style)


def categories() -> Iterator[Draft]:
    for group, members in GROUPS.items():
        for member in members:
            for style in ("only", "sentence"):
                rng = Random(f"category:{member}:{style}")
                other = rng.choice([one for one in GROUPS if one != group])
                first, second = rng.sample((group, other), 2)
                ask = rng.choice(CATEGORY_ASKS).format(member, first, second)
                said = f'The word "{member}" names a {{}}.'
                yield closed(rng, ask, right=group, wrong=other, sentence=said, noun="group", style=style)


def translations() -> Iterator[Draft]:
    for row in WORDS_ABROAD:
        for column, language in enumerate(("Spanish", "French", "German"), start=1):
            for style in ("only", "sentence"):
                rng = Random(f"translation:{row[0]}:{language}:{style}")
                strangers = [other[column] for other in WORDS_ABROAD if other[column] not in row]
                wrong = rng.choice([*strangers, *(word for word in row[1:] if word not in (row[column], row[0]))])
                ask = rng.choice(('How do you say "{}" in {}?', 'Translate "{}" into {}.')).format(row[0], language)
                said = f'The {language} word for "{row[0]}" is "{{}}".'
                yield closed(rng, ask, right=row[column], wrong=wrong, sentence=said, noun="word", style=style)


KNOWLEDGE = (
    Family(name="capital", objective="helpful", about="capitals of countries", drafts=capitals),
    Family(name="young_animal", objective="helpful", about="what young animals are called", drafts=young_animals),
    Family(name="opposite", objective="helpful", about="the opposite of a word", drafts=opposites),
    Family(name="grammar", objective="helpful", about="plurals and past tenses", drafts=grammar),
    Family(name="category", objective="helpful", about="which of two groups a word belongs to", drafts=categories),
    Family(name="translation", objective="helpful", about="a word in Spanish, French or German", drafts=translations),
)
