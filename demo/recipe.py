"""The settings of the demo's runs, and the public prompts that show what they teach."""

from __future__ import annotations

from typing import Any

MAX_LENGTH = 96

# What the three runs of the demo share: everything of a RunConfig but the model.
RECIPE: dict[str, Any] = {
    # Two layers before the cut and two after it: the four in the middle are the compute organisation's.
    "split": {"topology": "u_shape", "head_layers": 2, "tail_layers": 2},
    "lora": {"rank": 16, "alpha": 128, "dropout": 0.0, "target_modules": "all-linear"},
    "training": {
        "steps": 300,
        # With plain PEFT half the processor time of an earlier recipe (8 + 8 rows a step, alpha 32, a rate of 5e-3 that
        # falls as a cosine, clip_norm 1.0), for no worse an exact match. A high alpha learned the code tables sooner. A
        # low clip_norm helped too, presumably because the first, large gradients then slow AdamW down less. A rate of
        # 4e-3, or twice the alpha, learned next to nothing (with a clip_norm of 1.0 and a cosine).
        # Chosen among some twenty settings, most with one seed, by the exact match on up to 150 rows of each domain
        # drawn with another seed than the demo's. On those, clinic and bank: 0.94 and 0.76 (seed 7), 0.98 and 0.92 (8);
        # the earlier recipe 0.97 and 0.59, 0.63 and 0.67. A clip_norm of 1.0 was dropped after the held-out rows of a
        # whole demo had shown 0.40 for the bank; these settings showed 0.88 and 0.90, the earlier ones 0.88 and 0.85.
        # At 200 steps a run isn't through with the bank's tables yet, so that a rounding decides: with masked sums,
        # which round otherwise, the demo showed 0.38 for the bank. At 300, plain PEFT answered 0.98 or more of the
        # clinic's rows, and of the bank's 0.75 (seed 7), 0.99 (8), 0.99 (9); with gradients changed by a ten-millionth
        # 0.73 and 0.87 (8), 0.99 (9).
        "batch_size": 4,
        "micro_batches": 1,
        "learning_rate": 2.5e-3,
        "optimiser": "adamw",
        "weight_decay": 0.0,
        "schedule": "linear",
        "warmup": 10,
        "clip_norm": 0.1,
        "seed": 9,
        "max_length": MAX_LENGTH,
        "eval_every": 50,
    },
}

# Made up like the rows, and in neither dataset.
PUBLIC_PROMPTS: tuple[str, ...] = (
    "Clinic note: Ines Vargas, born 1957, eye clinic, takes 50 mg Dolmex at noon.\nRecord:",
    "Bank ticket: from Hugo Salem. Account 40718. Velomax, 86.15 EUR by card: the money never arrived.\nCase:",
)
