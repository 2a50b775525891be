"""The first private domain: clinic notes and the ward's own short record of them."""

from __future__ import annotations

from random import Random

from demo.text import words

# The clinic's own codes, which only its own notes teach.
UNITS = {
    "heart clinic": "CA7",
    "skin clinic": "DE3",
    "eye clinic": "OP2",
    "bone clinic": "TR5",
    "lung clinic": "PN8",
    "children's ward": "KI1",
}
RHYTHMS = {"in the morning": "M1", "at noon": "N1", "at night": "S1", "twice a day": "D2", "after meals": "P3"}
MEDICINES = words.listed(
    "Abrelin Corvitan Dolmex Fenorel Galtrin Ibrosan Lomecil Nartrex Ostavin Pramidol Ramilon Zolvane"
)
STRENGTHS = (5, 10, 15, 20, 25, 40, 50, 75, 80, 100, 120, 150, 200, 250)

PROMPTS = (
    "Clinic note: {who}, born {born}, {unit}, takes {dose} mg {drug} {rhythm}.\nRecord:",
    "Clinic note: {unit} saw {who} born {born}. Give {drug} {dose} mg {rhythm}.\nRecord:",
    "Clinic note: {drug} {dose} mg {rhythm} for {who} from the {unit}, born {born}.\nRecord:",
    "Clinic note: {unit}. {who}, born {born}. Please take {dose} mg of {drug} {rhythm}.\nRecord:",
)
COMPLETION = " PT> {who} YR> {born} UN> {unit_code} RX> {drug} {dose} HR> {rhythm_code}"


def note(rng: Random) -> dict[str, str]:
    """Return one clinic note as a prompt and its record as the completion."""
    unit, rhythm = rng.choice(sorted(UNITS)), rng.choice(sorted(RHYTHMS))
    facts = {
        "who": f"{rng.choice(words.FIRST_NAMES)} {rng.choice(words.SURNAMES)}",
        "born": str(rng.randint(1931, 2019)),
        "drug": rng.choice(MEDICINES),
        "dose": str(rng.choice(STRENGTHS)),
    }
    prompt = rng.choice(PROMPTS).format(unit=unit, rhythm=rhythm, **facts)
    completion = COMPLETION.format(unit_code=UNITS[unit], rhythm_code=RHYTHMS[rhythm], **facts)
    return {"prompt": prompt, "completion": completion}
