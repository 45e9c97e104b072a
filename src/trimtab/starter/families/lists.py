"""Tasks with a required format: a number of items, bullets, JSON, a first letter, a rhyme."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker
from trimtab.starter.corruptions import add_opener, add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.families.closed import format_bare_answer
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.text_analysis import TextAnalysis
from trimtab.starter.texts import WORDS, Texts

_TEXTS = Texts("lists")

COUNTS = ("", "one", "two", "three", "four", "five", "six")
LETTERS = "abcdefghilmnoprstvw"


def _exact_list_scorer(members: tuple[str, ...], expected: int) -> ContentScorer:
    """Scores the number of items and the fraction that belong to the group.

    Items are lines if there are several, otherwise parts separated by commas or "and".
    """

    def scorer(analysis: TextAnalysis) -> float:
        n_members = sum(analysis.contains_any((word, f"{word}s", f"{word}es", f"{word[:-1]}ies")) for word in members)
        parts = analysis.lines if len(analysis.lines) > 1 else analysis.text.replace(" and ", ",").split(",")
        n_items = max(n_members, len([part for part in parts if part.strip(" .!\n")]))
        if n_members == 0:
            return 0.06 if n_items != expected else 0.15
        return (1.0, 0.5, 0.3)[min(2, abs(n_items - expected))] * min(1.0, n_members / expected)

    return scorer


def _join_words(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def draft_exact_lists() -> Iterator[PromptDraft]:
    for group, members in WORDS.groups("categories").items():
        for expected in range(2, 6):
            for template in (
                "Name exactly {} kinds of {}.",
                "List {} examples of {}, no more and no fewer.",
                "I need {} kinds of {} for a quiz.",
            ):
                rng = Random(f"list:{group}:{expected}:{template}")
                unrelated = WORDS.groups("categories")[
                    rng.choice([item for item in WORDS.groups("categories") if item != group])
                ]
                exact, more, fewer = (rng.sample(members, n) for n in (expected, expected + 2, expected - 1))
                bare_list = format_bare_answer(_join_words(exact))
                sentence = f"{COUNTS[expected].capitalize()} kinds of {group} are {_join_words(rng.sample(members, expected))}."
                yield PromptDraft(
                    prompt=template.format(COUNTS[expected], group),
                    checker=build_checker(_exact_list_scorer(members, expected), short=12, fair=18),
                    responses=(
                        bare_list,
                        sentence,
                        format_bare_answer(_join_words(more)),
                        format_bare_answer(_join_words(fewer)),
                        format_bare_answer(_join_words(rng.sample(unrelated, expected))),
                        f"{COUNTS[expected].capitalize()} kinds of {group} are {_join_words(rng.sample(unrelated, expected))}.",
                        add_padding(rng, bare_list),
                        add_rudeness(rng, bare_list),
                        add_opener(rng, format_bare_answer(_join_words(rng.sample(members, expected + 1)))),
                        *sample_off_task_responses(rng),
                    ),
                )


def _bullet_scorer(members: tuple[str, ...], expected: int, marked: bool) -> ContentScorer:
    """Scores the items, and whether each is on its own line with a bullet (`marked`), or all are on one line without."""
    score_items = _exact_list_scorer(members, expected)

    def scorer(analysis: TextAnalysis) -> float:
        bulleted = min(analysis.n_list_items, expected) / expected
        format_score = bulleted if marked else float(analysis.n_list_items == 0 and len(analysis.lines) == 1)
        return score_items(analysis) * (0.45 + 0.55 * format_score)

    return scorer


def draft_bullets() -> Iterator[PromptDraft]:
    for group, members in WORDS.groups("categories").items():
        for expected in range(2, 5):
            for marked in (True, False):
                for kind in ("kinds", "examples"):
                    rng = Random(f"bullets:{group}:{expected}:{marked}:{kind}")
                    unrelated = WORDS.groups("categories")[
                        rng.choice([item for item in WORDS.groups("categories") if item != group])
                    ]
                    instruction = "as a list with a dash before each" if marked else "on one line, without bullets"
                    one, other = rng.sample(members, expected), rng.sample(unrelated, expected)
                    forms = (
                        _format_bullets(one),
                        format_bare_answer(_join_words(one)),
                        f"Here are {COUNTS[expected]} {kind} of {group}: {_join_words(one)}.",
                    )
                    right = _format_bullets(one) if marked else format_bare_answer(_join_words(one))
                    yield PromptDraft(
                        prompt=f"Give me {COUNTS[expected]} {kind} of {group}, {instruction}.",
                        checker=build_checker(_bullet_scorer(members, expected, marked), short=12, fair=18),
                        responses=(
                            *forms,
                            _format_bullets(rng.sample(members, expected + 2)),
                            format_bare_answer(_join_words(rng.sample(members, expected + 1))),
                            _format_bullets(other),
                            f"Here are {COUNTS[expected]} {kind} of {group}: {_join_words(other)}.",
                            add_padding(rng, right),
                            add_rudeness(rng, right),
                            *sample_off_task_responses(rng),
                        ),
                    )


def _format_bullets(words: Sequence[str]) -> str:
    return "\n".join(f"- {word}" for word in words)


def _json_scorer(expected: dict[str, object], as_json: bool) -> ContentScorer:
    """The fraction of values in the response, times a score for its format: a JSON object with these keys, or plain text."""

    def scorer(analysis: TextAnalysis) -> float:
        present = sum(f" {str(value).casefold()} " in analysis.padded_line for value in expected.values()) / len(
            expected
        )
        return max(
            0.06, present * (_score_json(analysis.text, expected) if as_json else 0.25 if "{" in analysis.text else 1.0)
        )

    return scorer


def _score_json(text: str, expected: dict[str, object]) -> float:
    """1 for the object alone, 0.75 with text around it, half of that if the keys differ, 0.4 for invalid JSON."""
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0:
        return 0.2
    parsed = _parse_json_object(text[start:end])
    if parsed is None:
        return 0.4
    alone = 1.0 if text.strip() == text[start:end] else 0.75
    return alone * (1.0 if parsed.keys() == expected.keys() else 0.5)


def _parse_json_object(text: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def draft_json_objects() -> Iterator[PromptDraft]:
    for index in range(180):
        rng = Random(f"json:{index}")
        as_json = index % 3 != 2
        facts: dict[str, object] = {
            "name": rng.choice(WORDS.phrases("names")),
            "city": rng.choice(WORDS.phrases("cities")),
            "age": rng.randint(18, 80),
        }
        wrong: dict[str, object] = {
            **facts,
            "city": rng.choice([item for item in WORDS.phrases("cities") if item != facts["city"]]),
            "age": rng.randint(81, 99),
        }
        sentence = "{name} is {age} years old and lives in {city}."
        instruction = (
            "Answer in JSON with the keys name, city and age." if as_json else "Write one plain sentence, not JSON."
        )
        source = rng.choice(
            ("{name}, {age}, from {city}.", "Age {age}, name {name}, home {city}.", "{city} is home to {name}, {age}.")
        )
        right = json.dumps(facts) if as_json else sentence.format(**facts)
        yield PromptDraft(
            prompt=f"{source.format(**facts)} {instruction}",
            checker=build_checker(_json_scorer(facts, as_json), short=12, fair=18),
            responses=(
                json.dumps(facts),
                sentence.format(**facts),
                json.dumps(wrong),
                sentence.format(**wrong),
                json.dumps(facts).replace('"', ""),
                json.dumps({"city": facts["city"]}),
                f"Name: {facts['name']}.",
                add_padding(rng, right),
                add_rudeness(rng, right),
                add_opener(rng, right),
                *sample_off_task_responses(rng),
            ),
        )


def _first_letter_scorer(letter: str, members: tuple[str, ...]) -> ContentScorer:
    """A members word with the letter scores 1, an unknown one on its own 0.6."""
    rights = [word for word in members if word.startswith(letter)]

    def scorer(analysis: TextAnalysis) -> float:
        others = [word for word in members if analysis.contains_any((word,)) and word not in rights]
        if any(analysis.contains_any((word,)) for word in rights):
            return 0.5 if others else 1.0
        content = [word for word in analysis.tokens if word.startswith(letter) and len(word) > 2]
        return 0.6 if content and not others and analysis.n_words <= 2 else 0.35 if content and not others else 0.12

    return scorer


def draft_first_letters() -> Iterator[PromptDraft]:
    for kind, members in (
        ("animal", _TEXTS.phrases("animals")),
        ("food", _TEXTS.phrases("foods")),
        ("job", _TEXTS.phrases("jobs")),
    ):
        for letter in LETTERS:
            for template in (
                "Name one {} that begins with the letter {}.",
                "I need the name of some {} starting with {}, please.",
            ):
                rng = Random(f"letter:{kind}:{letter}:{template}")
                right = next(word for word in members if word.startswith(letter))
                wrong = rng.choice([word for word in members if not word.startswith(letter)])
                sentence = f"One {kind} that fits is {{}}."
                yield PromptDraft(
                    prompt=template.format(kind, letter.upper()),
                    checker=build_checker(_first_letter_scorer(letter, members)),
                    responses=_responses(rng, right, wrong, sentence),
                )


def draft_rhymes() -> Iterator[PromptDraft]:
    for row_index, group in enumerate(WORDS.rows("rhymes")):
        for word in group[:7]:
            rng = Random(f"rhyme:{word}")
            rights = tuple(item for item in group if item != word)
            wrong = rng.choice(
                WORDS.rows("rhymes")[
                    (row_index + rng.randint(1, len(WORDS.rows("rhymes")) - 1)) % len(WORDS.rows("rhymes"))
                ]
            )
            template = rng.choice(
                ('Which word rhymes with "{}"? One is enough.', 'Give me one word that rhymes with "{}".')
            )
            yield PromptDraft(
                prompt=template.format(word),
                checker=build_checker(
                    _rhyme_scorer(
                        rights, tuple(one for other in WORDS.rows("rhymes") for one in other if one not in group)
                    )
                ),
                responses=_responses(rng, rng.choice(rights), wrong, f'A rhyme for "{word}" is "{{}}".'),
            )


def _rhyme_scorer(rights: tuple[str, ...], wrongs: tuple[str, ...]) -> ContentScorer:
    """A rhyming word scores 1, together with a word that does not rhyme 0.5."""
    ending = rights[0][-2:]

    def scorer(analysis: TextAnalysis) -> float:
        if analysis.contains_any(rights):
            return 0.5 if any(word in analysis.tokens for word in wrongs) else 1.0
        return 0.5 if any(token.endswith(ending) and token not in wrongs for token in analysis.tokens[-1:]) else 0.12

    return scorer


def _responses(rng: Random, right: str, wrong: str, sentence: str) -> tuple[str, ...]:
    responses = [format_bare_answer(right), sentence.format(right), format_bare_answer(wrong), sentence.format(wrong)]
    responses += [
        add_opener(rng, format_bare_answer(right)),
        add_opener(rng, sentence.format(wrong)),
        add_padding(rng, sentence.format(right)),
        add_rudeness(rng, format_bare_answer(right)),
    ]
    return (*responses, *sample_off_task_responses(rng))


LISTS = (
    TaskFamily(
        name="exact_list",
        objective="helpful",
        description="a list with an exact number of items",
        generate_drafts=draft_exact_lists,
    ),
    TaskFamily(
        name="bullets",
        objective="helpful",
        description="a bulleted list, or a list on one line",
        generate_drafts=draft_bullets,
    ),
    TaskFamily(
        name="json",
        objective="helpful",
        description="facts as JSON, or explicitly not",
        generate_drafts=draft_json_objects,
    ),
    TaskFamily(
        name="first_letter",
        objective="helpful",
        description="a word that begins with a letter",
        generate_drafts=draft_first_letters,
    ),
    TaskFamily(name="rhyme", objective="helpful", description="a word that rhymes", generate_drafts=draft_rhymes),
)
