"""General practice text of the base model: copying, looking up, extracting, rewriting, and plain sentences.

Every task is a function of a random generator that returns (prompt, completion). Names, numbers and codes are drawn
afresh each time, so the only way to answer is to copy them from the prompt. The formats of the demo's two private
domains are not among these tasks.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from random import Random

from demo.text import scenes, words
from demo.text.values import any_value, code, nonsense, person, phrase, plain_word

Example = tuple[str, str]
Task = Callable[[Random], Example]

# How one "field: value" pair is written, and what stands between two pairs.
PAIRS = ("{k}: {v}", "{k} = {v}", "{k} -> {v}", "{k} is {v}", "({k}) {v}", "{k} {v}", "<{k}> {v}", '"{k}": {v}', "{v}")
JOINS = ("\n", "; ", ", ", " and ", " ; ", " + ", " ")
CUES = ("Answer:", "Result:", "Output:", "Reply:", "Out:", ">", "=>", "Fields:", "List:", "Now:", "Write:")


Style = tuple[str, str]
DEFAULT_STYLE: Style = ("{k}: {v}", ", ")


def written(pairs: list[tuple[str, str]], style: Style) -> str:
    """Write field and value pairs in one notation."""
    pattern, join = style
    return join.join(pattern.format(k=key, v=value) for key, value in pairs)


def any_style(rng: Random) -> Style:
    """Draw a notation: one of the usual ones, or one with a mark of any kind."""
    if rng.random() < 0.6:
        return rng.choice(PAIRS), rng.choice(JOINS)
    mark = rng.choice(string.punctuation.replace("{", "").replace("}", ""))
    pattern = rng.choice(("{k}%s {v}", "{k} %s {v}", "%s{k} {v}", "%s {k}: {v}", "{v} %s"))
    return pattern.replace("%s", mark), rng.choice(JOINS)


def asked_style(rng: Random) -> tuple[str, Style]:
    """Draw the notation of the answer and the words that ask for it (none for the usual one)."""
    if rng.random() < 0.4:
        return "", DEFAULT_STYLE
    style = any_style(rng)
    return f"As {written([('a', '1'), ('b', '2')], style)}\n", style


def label(rng: Random) -> str:
    """Return a field's name, ordinary or invented."""
    return plain_word(rng) if rng.random() < 0.5 else nonsense(rng, (1, 2))


def copy_items(rng: Random) -> Example:
    """Copy a short list."""
    join = rng.choice([" ", ", ", "; ", " | "])
    items = join.join(any_value(rng) for _ in range(rng.randint(1, 4)))
    verb = rng.choice(["Copy", "Repeat", "Say again", "Echo", "Same"])
    return f"{verb}: {items}\n{rng.choice(CUES)}", f" {items}"


def repeat_stream(rng: Random) -> Example:
    """Repeat a stream of random tokens: the plainest exercise in looking back."""
    stream = " ".join(any_value(rng) for _ in range(rng.randint(3, 7)))
    return stream + rng.choice(["\n", " .", " ;", " |"]), f" {stream}"


def look_up(rng: Random) -> Example:
    """Give the values of one to three of several named fields."""
    pairs = [(label(rng), any_value(rng)) for _ in range(rng.randint(2, 5))]
    wanted = rng.sample(pairs, rng.randint(1, min(3, len(pairs))))
    asked = ", ".join(key for key, _ in wanted)
    hint, style = asked_style(rng)
    source = written(pairs, any_style(rng))
    return f"{source}\nGive {asked}.\n{hint}{rng.choice(CUES)}", " " + written(wanted, style)


def rewrite(rng: Random) -> Example:
    """Write the same fields in another notation."""
    pairs = [(label(rng), any_value(rng)) for _ in range(rng.randint(2, 4))]
    hint, style = asked_style(rng)
    return f"{written(pairs, any_style(rng))}\n{hint}{rng.choice(CUES)}", " " + written(pairs, style)


def translate_code(rng: Random) -> Example:
    """Apply a small table that the prompt itself gives."""
    table = [(phrase(rng) if rng.random() < 0.4 else plain_word(rng), code(rng)) for _ in range(rng.randint(2, 4))]
    key, value = rng.choice(table)
    listing = ", ".join(f"{k} is {v}" for k, v in table)
    subject = rng.choice(["It was", "We have", "This is", "The sign says", f"{person(rng)} chose"])
    return f"Codes: {listing}. {subject} {key}.\n{rng.choice(CUES)}", f" {value}"


def extract(rng: Random) -> Example:
    """Extract fields from a short text about everyday life."""
    text, facts = scenes.scene(rng)
    keys = rng.sample(sorted(facts), rng.randint(1, min(4, len(facts))))
    names = {key: rng.choice(scenes.FIELD_NAMES[key]) for key in keys}
    pairs = [(names[key], facts[key]) for key in keys]
    ask = rng.choice(["Give", "Fields", "Find", "Write"])
    asked = ", ".join(names[key] for key in keys)
    hint, style = asked_style(rng)
    return f"{text}\n{ask}: {asked}\n{hint}{rng.choice(CUES)}", " " + written(pairs, style)


def extract_invented(rng: Random) -> Example:
    """Extract fields under invented names that the prompt defines."""
    text, facts = scenes.scene(rng)
    keys = rng.sample(sorted(facts), rng.randint(2, min(3, len(facts))))
    names = {key: nonsense(rng, (1, 2)) for key in keys}
    rule = ", ".join(f"{names[key]} = {rng.choice(scenes.FIELD_NAMES[key])}" for key in keys)
    pairs = [(names[key], facts[key]) for key in keys]
    return f"{rule}\n{text}\n{rng.choice(CUES)}", " " + written(pairs, DEFAULT_STYLE)


def plain_sentence(rng: Random) -> Example:
    """Say something ordinary, so that the model meets plain language."""
    the = rng.choice(["The", "A", "This", "That"])
    subject = f"{the} {rng.choice(words.ADJECTIVES)} {rng.choice(words.JOBS)}"
    thing = f"the {rng.choice(words.COLOURS)} {rng.choice(words.THINGS)}"
    place = f"{rng.choice(['in', 'at', 'near', 'behind', 'from'])} the {rng.choice(words.PLACES)}"
    topic = f"{rng.choice(['about', 'before', 'after', 'because of'])} the {rng.choice(words.TOPICS)}"
    return f"{subject} {rng.choice(words.VERBS)}", f" {thing} {place} {topic}."


# Copying first and most: the share of each task in the mixture.
TASKS: tuple[tuple[Task, float], ...] = (
    (copy_items, 0.16),
    (repeat_stream, 0.12),
    (look_up, 0.14),
    (rewrite, 0.12),
    (translate_code, 0.08),
    (extract, 0.22),
    (extract_invented, 0.12),
    (plain_sentence, 0.04),
)
COPYING: tuple[tuple[Task, float], ...] = ((copy_items, 0.5), (repeat_stream, 0.5))


def example(rng: Random, tasks: tuple[tuple[Task, float], ...] = TASKS) -> Example:
    """Draw one task by its share and make an example of it."""
    task = rng.choices([task for task, _ in tasks], [share for _, share in tasks])[0]
    return task(rng)
