"""Following a run on the terminal: one line for each change, or one JSON object a line."""

from __future__ import annotations

import json
import time
from typing import Any

from rich.text import Text

from workers.cli.console import out
from workers.rest import RestClient

EXIT_CODES = {"done": 0, "failed": 3, "stopped": 4, "declined": 4}
LOOK_SECONDS = 1.0
PATIENCE = 3600.0  # seconds for which an absent hub is asked again


def watch_run(client: RestClient, run_id: str, *, as_json: bool) -> str:
    """Print what changes until the run has ended; returns its last state."""
    seen: tuple[Any, ...] = ()
    while True:
        run = client.get(f"/runs/{run_id}", patience=PATIENCE)
        now = (run["state"], run["step"])
        if now != seen:
            seen = now
            _show(run, as_json=as_json)
        if run["state"] in EXIT_CODES:
            return str(run["state"])
        time.sleep(LOOK_SECONDS)


def _show(run: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        names = ("id", "name", "state", "step", "total_steps", "failure", "summary")
        out.print(json.dumps({name: run.get(name) for name in names}, default=str), markup=False)
        return
    line = f"{run['state']:<18} step {run['step']}/{run['total_steps']}"
    failure = run.get("failure") or {}
    if run["state"] == "failed" and failure:
        line += f"  {failure.get('code')} {failure.get('message')}"
    summary = run.get("summary") or {}
    if run["state"] == "done" and summary.get("loss_before") is not None and summary.get("loss_after") is not None:
        line += f"  held-out loss {summary['loss_before']:.3f} → {summary['loss_after']:.3f}"
    out.print(Text(line))
