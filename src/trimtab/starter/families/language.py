"""Tasks on words and sentences: choosing, extracting, correcting, classifying."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from trimtab.starter.families.closed import STYLES, draft_closed_question
from trimtab.starter.item import PromptDraft, TaskFamily
from trimtab.starter.texts import WORDS, Texts

_TEXTS = Texts("language")

_DRAFTS_PER_FAMILY = 150


def draft_yes_or_no() -> Iterator[PromptDraft]:
    members = [(member, group) for group, names in WORDS.groups("categories").items() for member in names]
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"yesno:{index}")
        member, group = rng.choice(members)
        candidate = group if index % 2 else rng.choice([item for item in WORDS.groups("categories") if item != group])
        right, wrong = ("yes", "no") if candidate == group else ("no", "yes")
        article = "an" if candidate[0] in "aeiou" else "a"
        style = STYLES[index // 2 % 2]
        yield draft_closed_question(
            rng,
            f'Is the thing called "{member}" {article} {candidate}, yes or no?',
            right=right,
            wrong=wrong,
            sentence=f"The answer for {member} and {candidate} is {{}}.",
            noun="word yes or no",
            style=style,
        )


def draft_choices() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY):
        rng = Random(f"choose:{index}")
        categories = WORDS.groups("categories")
        group, *others = rng.sample(list(categories), 4)
        right, wrong = rng.choice(categories[group]), rng.choice(categories[others[0]])
        options = [right, wrong, *(rng.choice(categories[other]) for other in others[1:])]
        rng.shuffle(options)
        yield draft_closed_question(
            rng,
            f"Which of these is a kind of {group}: {', '.join(options[:-1])} or {options[-1]}?",
            right=right,
            wrong=wrong,
            others=tuple(options),
            sentence=f"Of these, {{}} is a kind of {group}.",
            noun="word",
            style=STYLES[index % 3],
        )


def draft_extraction() -> Iterator[PromptDraft]:
    for index in range(_DRAFTS_PER_FAMILY + 60):
        rng = Random(f"extract:{index}")
        facts = {
            "name": rng.choice(WORDS.phrases("names")),
            "thing": rng.choice(WORDS.phrases("objects")),
            "city": rng.choice(WORDS.phrases("cities")),
            "day": rng.choice(WORDS.phrases("days")),
            "price": f"{rng.randint(12, 99)} dollars",
        }
        text = "{name} bought a {thing} in {city} on {day} for {price}.".format(**facts)
        key = list(facts)[index % 5]
        right, wrong = facts[key], facts[rng.choice([item for item in facts if item != key])]
        kind = {"name": "name of the buyer", "thing": "thing bought"}.get(key, key)
        yield draft_closed_question(
            rng,
            f'Find the {kind} in this text: "{text}"',
            right=right,
            wrong=wrong,
            others=tuple(facts.values()),
            sentence=f"The {kind} is {{}}.",
            noun=key,
            style="only" if index % 3 else "free",
        )


def draft_spelling() -> Iterator[PromptDraft]:
    templates = ('Correct the spelling of "{}".', 'My teacher marked the word "{}". How is it spelled?')
    for row_index, (misspelled, correct) in enumerate(WORDS.rows("misspelled")):
        for style in STYLES:
            for template in templates:
                rng = Random(f"spelling:{misspelled}:{style}:{template}")
                middle = len(correct) // 2
                wrong = rng.choice(
                    (f"{correct[:middle]}{correct[middle]}{correct[middle:]}", correct[: middle - 1] + correct[middle:])
                )
                yield draft_closed_question(
                    rng,
                    template.format(misspelled),
                    right=correct,
                    wrong=wrong if row_index % 2 else misspelled,
                    sentence="The word is spelled {}.",
                    noun="word",
                    style=style,
                )


def draft_sentiment() -> Iterator[PromptDraft]:
    templates = (
        'Is this review positive or negative? "{}"', 'Does the writer of "{}" sound positive or negative?',
        'Label this text as positive or negative: "{}"',
    )  # fmt: skip
    for text, right in _TEXTS.rows("reviews"):
        wrong = "negative" if right == "positive" else "positive"
        for template in templates:
            for style in STYLES:
                rng = Random(f"sentiment:{text}:{template}:{style}")
                sentence = rng.choice(("This review is {}.", "The writer sounds {} here."))
                yield draft_closed_question(
                    rng, template.format(text), right=right, wrong=wrong, sentence=sentence, noun="label", style=style
                )


LANGUAGE = (
    TaskFamily(
        name="yes_no",
        objective="helpful",
        description="yes-or-no questions",
        generate_drafts=draft_yes_or_no,
    ),
    TaskFamily(
        name="choose", objective="helpful", description="the matching one of four", generate_drafts=draft_choices
    ),
    TaskFamily(
        name="extraction",
        objective="helpful",
        description="one fact from a sentence",
        generate_drafts=draft_extraction,
    ),
    TaskFamily(
        name="spelling", objective="helpful", description="correcting a misspelled word", generate_drafts=draft_spelling
    ),
    TaskFamily(
        name="sentiment",
        objective="helpful",
        description="whether a review is positive or negative",
        generate_drafts=draft_sentiment,
    ),
)
