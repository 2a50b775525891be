"""`python -m demo`: the main job on one machine, with a person (Ctrl-C ends it) or without (`--once --json FILE`)."""

from __future__ import annotations

import argparse
import json
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from demo.launch.check import download_adapter, heldout_files, measure, newest_canary
from demo.launch.groups import HUB_PORT, DemoError, Groups, demo_groups
from demo.launch.runs import approve_by_all, follow, launch
from demo.launch.stage import DATA_PARTIES, Stage, set_stage
from demo.launch.summary import as_table, domains
from demo.recipe import RECIPE

RUN_SECONDS = 900.0
out = Console()


def progress_text(run: dict[str, Any]) -> str:
    """A run's name and state, and the newest loss on held-out rows: it stands still between two evaluations."""
    loss = (run.get("summary") or {}).get("loss_after")
    return f"{run['name']}: {run['state'].replace('_', ' ')}" + (f", held-out loss {loss:.3f}" if loss else "")


def _follow(groups: Groups, stage: Stage, run_id: str) -> dict[str, Any]:
    """Follow a run, with a bar on a terminal and a line now and then elsewhere."""
    columns = (TextColumn("{task.description:<53}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"))
    told: set[tuple[str, int]] = set()
    with Progress(*columns, TimeElapsedColumn(), console=out, disable=not out.is_terminal) as bars:
        task = bars.add_task("waiting for the workers", total=1)

        def show(run: dict[str, Any]) -> None:
            text = progress_text(run)
            total = max(run["total_steps"], 1)
            bars.update(task, description=text, completed=run["step"], total=total)
            mark = (run["state"], run["step"] * 10 // total)
            if not out.is_terminal and mark not in told:
                told.add(mark)
                out.print(f"  {text}, step {run['step']} of {total}")

        return follow(groups, stage, run_id, seconds=RUN_SECONDS, progress=show)


def _train(
    groups: Groups, stage: Stage, name: str, trains: tuple[str, ...], *, eval_every: int
) -> tuple[str, dict[str, Any]]:
    run_id = launch(stage, name=name, trains=trains, training={"eval_every": eval_every})
    out.print(f"[bold]{name}[/]: {groups.hub_url}/runs/{run_id}")
    approve_by_all(stage, run_id)
    return run_id, _follow(groups, stage, run_id)


def _check(groups: Groups, stage: Stage, run_id: str, run: dict[str, Any]) -> dict[str, Any]:
    """The adapter by plain peft, against what the run reported."""
    folder = groups.root / "downloads"
    folder.mkdir(exist_ok=True)
    adapter = download_adapter(stage, run_id, folder)
    canary = newest_canary(groups.home("clinic"), run_id) or newest_canary(groups.home("bank"), run_id)
    result = measure(adapter, heldout_files(stage), canary)
    reported = run["summary"]["loss_after"]
    if reported is None:
        return {"result": result, "problems": ["the run's last evaluation contained NaN or infinite values"]}
    problems = []
    if not result["loads"] or result["imports_of_ours"]:
        problems.append("the adapter doesn't load in a clean process")
    if abs(result["loss"] - reported) > 0.02 * max(1.0, reported):
        problems.append(f"plain peft measures loss {result['loss']:.4f}, the run reported {reported:.4f}")
    if result.get("max_difference", 1.0) > 0.5:
        problems.append(f"logits differ from the split model's by {result.get('max_difference')}")
    if run["summary"]["loss_after"] > 0.8 * run["summary"]["loss_before"]:
        problems.append("the held-out loss didn't fall clearly")
    return {"result": result, "problems": problems}


def _welcome(groups: Groups, stage: Stage) -> None:
    out.print(f"\nThe hub is at [bold]{groups.hub_url}[/]. Sign in as one of (at the end, the worker's own page):")
    for key, party in stage.parties.items():
        console = groups.console_url(key)
        out.print(f"  {party.name:<18} {party.email:<22} {party.password:<20} {console}", soft_wrap=True)
    out.print("\nThree runs follow: both data organisations together, then each alone, to compare.")
    out.print("On two processor cores, they take about ten minutes. You don't have to do anything.\n")


def _demo(options: argparse.Namespace, ending: threading.Event) -> int:
    started = time.monotonic()
    summary: dict[str, Any] = {"ok": False}
    with demo_groups(port=options.port, root=options.folder) as groups:
        try:
            out.print("Starting the hub and three workers …")
            groups.start_hub()
            stage = set_stage(groups)
            _welcome(groups, stage)
            run_id, joint = _train(groups, stage, "Together", DATA_PARTIES, eval_every=options.eval_every)
            runs = {"joint": joint}
            summary |= {
                "seconds": round(time.monotonic() - started, 1),
                "steps": joint["step"],
                "loss_before": joint["summary"]["loss_before"],
                "loss_after": joint["summary"]["loss_after"],
                "bytes": joint["summary"]["bytes"],
            }
            checked = _check(groups, stage, run_id, joint)
            result = checked["result"]
            summary["adapter"] = {name: result.get(name) for name in ("loads", "loss", "max_difference")}
            for key in DATA_PARTIES:
                name = f"{stage.parties[key].name} alone"
                _, runs[key] = _train(groups, stage, name, (key,), eval_every=options.eval_every)
            summary["domains"] = domains(stage, runs)
            summary["problems"] = checked["problems"]
            summary["ok"] = not checked["problems"]
            out.print(as_table(summary["domains"]))
            for problem in checked["problems"]:
                out.print(f"[red]{problem}[/]")
            out.print(f"The joint run took {summary['seconds']} s from the start of this command.")
            if not options.once:
                out.print(f"\nEverything keeps running at {groups.hub_url}. Press Ctrl-C to stop it.")
                out.print("The next make demo starts from nothing: new accounts, new logins.")
                while not ending.wait(1):
                    groups.check_alive()
        except DemoError as error:
            summary["problems"] = [str(error)]
            out.print(f"[red]{error}[/]", highlight=False)
        finally:
            if options.json:
                options.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 0 if summary["ok"] else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and run; TERM ends everything in order, as Ctrl-C does."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit when the runs have ended")
    parser.add_argument("--json", type=Path, help="write a summary of the runs to this file")
    parser.add_argument("--port", type=int, default=HUB_PORT, help="port of the hub (another is taken if it is in use)")
    parser.add_argument("--folder", type=Path, help="folder for everything while it runs (default: var/demo)")
    parser.add_argument(
        "--eval-every",
        type=int,
        default=RECIPE["training"]["eval_every"],
        help="steps between two evaluations; 0 for one at the start and one at the end (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    if not 0 <= options.eval_every <= RECIPE["training"]["steps"]:
        parser.error(f"--eval-every takes 0 to {RECIPE['training']['steps']}.")
    ending = threading.Event()

    def end(number: int, frame: object) -> None:
        ending.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        return _demo(options, ending)
    except DemoError as error:  # before anything was started
        out.print(f"[red]{error}[/]", highlight=False)
        return 1
    except KeyboardInterrupt:
        out.print("\nEnded.")
        return 0 if not options.once else 130
