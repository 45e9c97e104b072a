"""Questions about facts and words with one correct answer from a table."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.families.closed import STYLES, draft_closed_question
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.texts import WORDS, Texts

_TEXTS = Texts("knowledge")


def _draft_from_table(
    name: str, table: tuple[tuple[str, ...], ...], questions: tuple[str, ...], sentence: str, noun: str
) -> Iterator[PromptDraft]:
    answers = tuple(right for _, right in table)
    for key, right in table:
        for question in questions:
            for style in STYLES:
                rng = Random(f"{name}:{key}:{question}:{style}")
                wrong = rng.choice([item for item in answers if item != right])
                yield draft_closed_question(
                    rng,
                    question.format(key),
                    right=right,
                    wrong=wrong,
                    others=answers,
                    sentence=sentence.replace("<key>", key),
                    noun=noun,
                    style=style,
                )


def draft_capitals() -> Iterator[PromptDraft]:
    questions = _TEXTS.phrases("capital_questions")[:2]
    yield from _draft_from_table("capital", WORDS.rows("capitals"), questions, "The capital of <key> is {}.", "city")


def draft_young_animals() -> Iterator[PromptDraft]:
    table, questions = WORDS.rows("young_animals"), _TEXTS.phrases("young_animal_questions")
    yield from _draft_from_table("young", table, questions, "A young <key> is called a {}.", "word")


def draft_opposites() -> Iterator[PromptDraft]:
    opposites, questions = WORDS.rows("opposites"), _TEXTS.phrases("opposite_questions")
    words = tuple(word for pair in opposites for word in pair)
    for key, right in (
        *opposites,
        *((right, left) for left, right in opposites if left != "light" and right != "light"),
    ):
        for style, question in zip(STYLES, (*questions, questions[0]), strict=True):
            rng = Random(f"opposite:{key}:{style}")
            wrong = rng.choice([item for item in words if item not in (key, right)])
            sentence = f'The opposite of "{key}" is "{{}}".'
            yield draft_closed_question(
                rng, question.format(key), right=right, wrong=wrong, sentence=sentence, noun="word", style=style
            )


def draft_grammar() -> Iterator[PromptDraft]:
    for table, question, kind in (
        (WORDS.rows("plurals"), 'What is the plural of "{}"?', "plural"),
        (WORDS.rows("past_tenses"), 'What is the past tense of "{}"?', "past tense"),
    ):
        for key, right in table:
            for style in STYLES:
                rng = Random(f"grammar:{kind}:{key}:{style}")
                wrong = rng.choice((f"{key}s" if kind == "plural" else f"{key}ed", f"{key}en", rng.choice(table)[1]))
                wrong = wrong if wrong != right else f"{key}en"
                sentence = f'The {kind} of "{key}" is "{{}}".'
                yield draft_closed_question(
                    rng, question.format(key), right=right, wrong=wrong, sentence=sentence, noun="word", style=style
                )


def draft_categories() -> Iterator[PromptDraft]:
    for group, members in WORDS.groups("categories").items():
        for member in members:
            for style in ("only", "sentence"):
                rng = Random(f"category:{member}:{style}")
                other = rng.choice([item for item in WORDS.groups("categories") if item != group])
                first, second = rng.sample((group, other), 2)
                question = rng.choice(_TEXTS.phrases("category_questions")).format(member, first, second)
                sentence = f'The word "{member}" names a {{}}.'
                yield draft_closed_question(
                    rng, question, right=group, wrong=other, sentence=sentence, noun="group", style=style
                )


def draft_translations() -> Iterator[PromptDraft]:
    for row in WORDS.rows("translations"):
        for column, language in enumerate(("Spanish", "French", "German"), start=1):
            for style in ("only", "sentence"):
                rng = Random(f"translation:{row[0]}:{language}:{style}")
                unrelated = [other[column] for other in WORDS.rows("translations") if other[column] not in row]
                wrong = rng.choice([*unrelated, *(word for word in row[1:] if word not in (row[column], row[0]))])
                question = rng.choice(('How do you say "{}" in {}?', 'Translate "{}" into {}.')).format(
                    row[0], language
                )
                sentence = f'The {language} word for "{row[0]}" is "{{}}".'
                yield draft_closed_question(
                    rng, question, right=row[column], wrong=wrong, sentence=sentence, noun="word", style=style
                )


KNOWLEDGE = (
    TaskFamily(
        name="capital", objective="helpful", description="capitals of countries", generate_drafts=draft_capitals
    ),
    TaskFamily(
        name="young_animal",
        objective="helpful",
        description="names of young animals",
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
