"""Tasks whose answer has a shape: so many items, bullets, JSON, a first letter, a rhyme."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random

from trimtab.starter.checkers import ContentScorer, build_checker
from trimtab.starter.corruptions import add_opener, add_padding, add_rudeness, sample_off_task_responses
from trimtab.starter.families.closed import format_bare_answer
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.row_parser import CATEGORIES, CITIES, NAMES, RHYMES, split_words
from trimtab.starter.text_analysis import TextAnalysis

COUNTS = ("", "one", "two", "three", "four", "five", "six")
LETTERS = "abcdefghilmnoprstvw"
ANIMALS = split_words(
    "ant bear cat dog eagle fox goat horse ibis lion mouse newt owl pig rabbit snake tiger viper wolf"
)
FOODS = split_words(
    """
    apple bread cheese dumpling egg fig grape honey ice lemon mango noodle olive pear rice soup tomato vanilla waffle
    """
)
JOBS = split_words(
    """
    actor baker cook doctor engineer farmer guard hunter inspector lawyer mason nurse officer painter ranger sailor
    tailor vet writer
    """
)


def _exact_list_scorer(known: tuple[str, ...], wanted: int) -> ContentScorer:
    """How close the number of items is to the wanted one, and how many of the items belong.

    Items are lines where there are several, else what commas and "and" part.
    """

    def core(reading: TextAnalysis) -> float:
        said = sum(reading.contains_any((word, f"{word}s", f"{word}es", f"{word[:-1]}ies")) for word in known)
        parts = reading.lines if len(reading.lines) > 1 else reading.text.replace(" and ", ",").split(",")
        named = max(said, len([part for part in parts if part.strip(" .!\n")]))
        if said == 0:
            return 0.06 if named != wanted else 0.15
        return (1.0, 0.5, 0.3)[min(2, abs(named - wanted))] * min(1.0, said / wanted)

    return core


def _join_words(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def draft_exact_lists() -> Iterator[PromptDraft]:
    for group, known in CATEGORIES.items():
        for wanted in range(2, 6):
            for ask in (
                "Name exactly {} kinds of {}.",
                "List {} examples of {}, no more and no fewer.",
                "I need {} kinds of {} for a quiz.",
            ):
                rng = Random(f"list:{group}:{wanted}:{ask}")
                strange = CATEGORIES[rng.choice([one for one in CATEGORIES if one != group])]
                exact, more, fewer = (rng.sample(known, n) for n in (wanted, wanted + 2, wanted - 1))
                said = format_bare_answer(_join_words(exact))
                sentence = (
                    f"{COUNTS[wanted].capitalize()} kinds of {group} are {_join_words(rng.sample(known, wanted))}."
                )
                yield PromptDraft(
                    prompt=ask.format(COUNTS[wanted], group),
                    checker=build_checker(_exact_list_scorer(known, wanted), short=12, fair=18),
                    responses=(
                        said,
                        sentence,
                        format_bare_answer(_join_words(more)),
                        format_bare_answer(_join_words(fewer)),
                        format_bare_answer(_join_words(rng.sample(strange, wanted))),
                        f"{COUNTS[wanted].capitalize()} kinds of {group} are {_join_words(rng.sample(strange, wanted))}.",
                        add_padding(rng, said),
                        add_rudeness(rng, said),
                        add_opener(rng, format_bare_answer(_join_words(rng.sample(known, wanted + 1)))),
                        *sample_off_task_responses(rng),
                    ),
                )


def _bullet_scorer(known: tuple[str, ...], wanted: int, marked: bool) -> ContentScorer:
    """Items that belong, each on a line of its own that begins with a bullet, or none of them so."""
    members = _exact_list_scorer(known, wanted)

    def core(reading: TextAnalysis) -> float:
        share = min(reading.n_list_items, wanted) / wanted
        kept = share if marked else float(reading.n_list_items == 0 and len(reading.lines) == 1)
        return members(reading) * (0.45 + 0.55 * kept)

    return core


def draft_bullets() -> Iterator[PromptDraft]:
    for group, known in CATEGORIES.items():
        for wanted in range(2, 5):
            for marked in (True, False):
                for kind in ("kinds", "examples"):
                    rng = Random(f"bullets:{group}:{wanted}:{marked}:{kind}")
                    strange = CATEGORIES[rng.choice([one for one in CATEGORIES if one != group])]
                    how = "as a list with a dash before each" if marked else "on one line, without bullets"
                    one, other = rng.sample(known, wanted), rng.sample(strange, wanted)
                    forms = (
                        _format_bullets(one),
                        format_bare_answer(_join_words(one)),
                        f"Here are {COUNTS[wanted]} {kind} of {group}: {_join_words(one)}.",
                    )
                    right = _format_bullets(one) if marked else format_bare_answer(_join_words(one))
                    yield PromptDraft(
                        prompt=f"Give me {COUNTS[wanted]} {kind} of {group}, {how}.",
                        checker=build_checker(_bullet_scorer(known, wanted, marked), short=12, fair=18),
                        responses=(
                            *forms,
                            _format_bullets(rng.sample(known, wanted + 2)),
                            format_bare_answer(_join_words(rng.sample(known, wanted + 1))),
                            _format_bullets(other),
                            f"Here are {COUNTS[wanted]} {kind} of {group}: {_join_words(other)}.",
                            add_padding(rng, right),
                            add_rudeness(rng, right),
                            *sample_off_task_responses(rng),
                        ),
                    )


def _format_bullets(words: Sequence[str]) -> str:
    return "\n".join(f"- {word}" for word in words)


def _json_scorer(wanted: dict[str, object], as_json: bool) -> ContentScorer:
    """The share of the values said, times how well the text is one JSON object with the wanted keys, or plain words."""

    def core(reading: TextAnalysis) -> float:
        said = sum(f" {str(value).casefold()} " in reading.padded_line for value in wanted.values()) / len(wanted)
        return max(
            0.06, said * (_score_json(reading.text, wanted) if as_json else 0.25 if "{" in reading.text else 1.0)
        )

    return core


def _score_json(text: str, wanted: dict[str, object]) -> float:
    """1 for the object alone, 0.75 with words around it, half of either where keys differ; 0.4 for broken JSON."""
    start, end = text.find("{"), text.rfind("}") + 1
    if start < 0:
        return 0.2
    parsed = _parse_json_object(text[start:end])
    if parsed is None:
        return 0.4
    alone = 1.0 if text.strip() == text[start:end] else 0.75
    return alone * (1.0 if parsed.keys() == wanted.keys() else 0.5)


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
        facts: dict[str, object] = {"name": rng.choice(NAMES), "city": rng.choice(CITIES), "age": rng.randint(18, 80)}
        wrong: dict[str, object] = {
            **facts,
            "city": rng.choice([one for one in CITIES if one != facts["city"]]),
            "age": rng.randint(81, 99),
        }
        sentence = "{name} is {age} years old and lives in {city}."
        how = "Answer in JSON with the keys name, city and age." if as_json else "Write one plain sentence, not JSON."
        source = rng.choice(
            ("{name}, {age}, from {city}.", "Age {age}, name {name}, home {city}.", "{city} is home to {name}, {age}.")
        )
        right = json.dumps(facts) if as_json else sentence.format(**facts)
        yield PromptDraft(
            prompt=f"{source.format(**facts)} {how}",
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


def _first_letter_scorer(letter: str, known: tuple[str, ...]) -> ContentScorer:
    """A known word with the letter is 1; one word with the letter that the table does not know is 0.6."""
    rights = [word for word in known if word.startswith(letter)]

    def core(reading: TextAnalysis) -> float:
        others = [word for word in known if reading.contains_any((word,)) and word not in rights]
        if any(reading.contains_any((word,)) for word in rights):
            return 0.5 if others else 1.0
        content = [word for word in reading.tokens if word.startswith(letter) and len(word) > 2]
        return 0.6 if content and not others and reading.n_words <= 2 else 0.35 if content and not others else 0.12

    return core


def draft_first_letters() -> Iterator[PromptDraft]:
    for kind, known in (("animal", ANIMALS), ("food", FOODS), ("job", JOBS)):
        for letter in LETTERS:
            for ask in (
                "Name one {} that begins with the letter {}.",
                "I need the name of some {} starting with {}, please.",
            ):
                rng = Random(f"letter:{kind}:{letter}:{ask}")
                right = next(word for word in known if word.startswith(letter))
                wrong = rng.choice([word for word in known if not word.startswith(letter)])
                said = f"One {kind} that fits is {{}}."
                yield PromptDraft(
                    prompt=ask.format(kind, letter.upper()),
                    checker=build_checker(_first_letter_scorer(letter, known)),
                    responses=_responses(rng, right, wrong, said),
                )


def draft_rhymes() -> Iterator[PromptDraft]:
    for place, group in enumerate(RHYMES):
        for word in group[:7]:
            rng = Random(f"rhyme:{word}")
            rights = tuple(one for one in group if one != word)
            wrong = rng.choice(RHYMES[(place + rng.randint(1, len(RHYMES) - 1)) % len(RHYMES)])
            ask = rng.choice(('Which word rhymes with "{}"? One is enough.', 'Give me one word that rhymes with "{}".'))
            yield PromptDraft(
                prompt=ask.format(word),
                checker=build_checker(
                    _rhyme_scorer(rights, tuple(one for other in RHYMES for one in other if one not in group))
                ),
                responses=_responses(rng, rng.choice(rights), wrong, f'A rhyme for "{word}" is "{{}}".'),
            )


def _rhyme_scorer(rights: tuple[str, ...], wrongs: tuple[str, ...]) -> ContentScorer:
    """A word of the same sound is 1; naming one of another sound as well is 0.5."""
    ending = rights[0][-2:]

    def core(reading: TextAnalysis) -> float:
        if reading.contains_any(rights):
            return 0.5 if any(word in reading.tokens for word in wrongs) else 1.0
        return 0.5 if any(token.endswith(ending) and token not in wrongs for token in reading.tokens[-1:]) else 0.12

    return core


def _responses(rng: Random, right: str, wrong: str, said: str) -> tuple[str, ...]:
    made = [format_bare_answer(right), said.format(right), format_bare_answer(wrong), said.format(wrong)]
    made += [
        add_opener(rng, format_bare_answer(right)),
        add_opener(rng, said.format(wrong)),
        add_padding(rng, said.format(right)),
        add_rudeness(rng, format_bare_answer(right)),
    ]
    return (*made, *sample_off_task_responses(rng))


LISTS = (
    TaskFamily(
        name="exact_list",
        objective="helpful",
        description="a list of exactly so many things",
        generate_drafts=draft_exact_lists,
    ),
    TaskFamily(
        name="bullets",
        objective="helpful",
        description="a list with dashes, or on one line",
        generate_drafts=draft_bullets,
    ),
    TaskFamily(
        name="json",
        objective="helpful",
        description="facts as JSON, or expressly not",
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
