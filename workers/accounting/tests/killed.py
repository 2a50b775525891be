"""A whole run in one process, which kills itself after so many messages with hidden states.

`python -m workers.accounting.tests.killed FOLDER MODEL HEAD KILL_AT`: a line in FOLDER/left for each of them.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from splitcore.launch.threads import run_in_threads
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfSettings
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Message, Phase
from splitcore.wire.protocol.session import Session
from workers.accounting.accountant import JobAccountant
from workers.accounting.book import SpendingBook
from workers.accounting.rows import row_digests

KEY = bytes(range(32))
TRAIN, HELD_OUT = rows(6), rows(2, word="held")
DIGESTS = row_digests(KEY, [*TRAIN, *HELD_OUT])
NOISE = {"defences": [{"name": "gaussian", "clip": 5.0, "noise": 0.5}]}


def main(folder: Path, model: str, head: str, kill_at: int) -> None:
    """Train, go on with what an earlier call has left, and die on the way."""
    torch.set_num_threads(1)
    send, sent = Session.send, 0

    def told(session: Session, message: Message, **how: Any) -> int:
        nonlocal sent
        size = send(session, message, **how)
        if message.phase is Phase.HEAD_UP:
            sent += 1
            values = b"".join(bytes(buffer) for buffer in message.tensors["hidden"].buffers)
            with (folder / "left").open("a") as file:
                file.write(hashlib.sha256(values).hexdigest() + "\n")
            if sent == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return size

    Session.send = told  # type: ignore[method-assign]
    config = run_config(
        Path(model),
        privacy=NOISE,
        lora={"rank": 2, "train_head": head == "trained"},
        training={"steps": 6, "batch_size": 1, "eval_every": 3, "checkpoint_every": 2},
    )
    accountant = JobAccountant(
        SpendingBook(folder / "privacy.sqlite3"),
        run_id="run_1",
        party="a",
        digests=DIGESTS,
        trained=len(TRAIN),
        budget=lambda: None,
    )
    settings = HalfSettings(
        config, ["a"], model, folder / "out", checkpoints=folder / "checkpoints", accountant=accountant
    )
    run_in_threads(settings, {"a": TRAIN}, {"a": HELD_OUT}, [])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
