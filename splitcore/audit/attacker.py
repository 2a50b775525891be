"""The attacker, a process of its own: `python -m splitcore.audit.attacker FOLDER` (see `request`).

It shares nothing with the process that holds the rows but this folder, and ends when that process closes its input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from time import perf_counter

import torch

from splitcore.attacks.choice import AttackChoice, Need
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.reading import TranscriptReader
from splitcore.attacks.transcript import Transcript
from splitcore.audit.capture import plan_of
from splitcore.audit.request import ANSWERS, RECORDING, Answer, Request
from splitcore.bounds import plain, without_folders
from splitcore.config import RunConfig
from splitcore.errors import AppError

WORDS = {
    Need.AUXILIARY: "text of its own",
    Need.KNOWN: "rows of the party that it knows",
    Need.MODEL: "the whole base model",
}


def main(folder: Path) -> None:
    """Answer the request in `folder`, one line for each attack and seed as it is done."""
    Thread(target=_end_with_the_asker, daemon=True).start()
    request = Request.read(folder)
    plan = plan_of(RunConfig.parse(request.config), request.parties)
    transcript = TranscriptReader(plan, request.party).read(folder / RECORDING)
    auxiliary = [torch.tensor(ids, dtype=torch.int64) for ids in request.auxiliary]
    known = {place: torch.tensor(ids, dtype=torch.int64) for place, ids in request.known.items()}
    with (folder / ANSWERS).open("a", encoding="utf-8") as file:
        for place, choice, seed in _tasks(request):
            knowledge = Knowledge(plan, request.party, auxiliary=auxiliary, known=known, seed=seed)
            answer = _answer(place, choice, transcript, knowledge)
            file.write(answer.model_dump_json() + "\n")
            file.flush()
            print(f"{choice.name} {answer.outcome}", flush=True)  # noqa: T201 - a line is a sign of progress


def _tasks(request: Request) -> Iterator[tuple[int, AttackChoice, int]]:
    """Each attack once, and those that draw with each seed."""
    for place, choice in enumerate(request.attacks):
        for seed in request.seeds if choice.draws else request.seeds[:1]:
            yield place, choice, seed


def _answer(place: int, choice: AttackChoice, transcript: Transcript, knowledge: Knowledge) -> Answer:
    if why := choice.refuses(knowledge.plan.settings.config):
        return Answer(attack=place, seed=knowledge.seed, outcome="not_run", reason=why)
    if missing := [WORDS[need] for need in sorted(choice.needs) if not _has(need, knowledge)]:
        why = f"The observer is assumed not to have {' or '.join(missing)}."
        return Answer(attack=place, seed=knowledge.seed, outcome="not_run", reason=why)
    begin = perf_counter()
    try:
        guesses = [guess.tolist() for guess in choice.build().guess(transcript, knowledge)]
    except AppError as error:
        return Answer(attack=place, seed=knowledge.seed, outcome="failed", reason=_words(error))
    seconds = perf_counter() - begin
    return Answer(attack=place, seed=knowledge.seed, outcome="ran", guesses=guesses, seconds=seconds)


def _words(error: AppError) -> str:
    """What an attack failed with, as a result has room for it: it is told to the hub."""
    return plain(without_folders(str(error)), 400)


def _has(need: Need, knowledge: Knowledge) -> bool:
    return {
        Need.AUXILIARY: bool(knowledge.auxiliary),
        Need.KNOWN: bool(knowledge.known),
        Need.MODEL: knowledge.has_whole_model,
    }[need]


def _end_with_the_asker() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
