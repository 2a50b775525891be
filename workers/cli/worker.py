"""`cutlayer worker`: enrol, run, examine and leave a site's worker."""

from __future__ import annotations

import importlib.util
import json
import logging
import time
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.text import Text

from processes.private_files import close_new_files
from processes.redaction import redact_logs
from workers.cli import decide, model, policy
from workers.cli.console import err, out, show_checks, show_error, show_json, show_table
from workers.cli.ledger import ledger as ledger_command
from workers.console.pin import forget_tries, read_or_create_pin
from workers.doctor import run_checks
from workers.enrol import JoinOptions, fingerprint_groups, join, leave, rotate_key
from workers.outbox.spool import Spool
from workers.policy import Kind
from workers.settings import WorkerConfig, WorkerEnvironment, WorkerHome
from workers.witness import Witness

app = typer.Typer(no_args_is_help=True, help="This site's worker.")
app.add_typer(model.app, name="model")
app.add_typer(policy.app, name="policy")
app.command("trust")(decide.trust)
app.command("distrust")(decide.distrust)
app.command("approve")(decide.approve)
app.command("unapprove")(decide.unapprove)
if importlib.util.find_spec("workers.cli.data") is not None:
    from workers.cli import data

    app.add_typer(data.app, name="data")


@app.callback()
def worker() -> None:
    """Whatever these commands write is closed to the machine's other accounts."""
    close_new_files()


HomeOption = Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("join")
def join_command(
    url: Annotated[str, typer.Argument(help="The hub's address, from its Enrol a worker page.")],
    token: Annotated[str, typer.Option(help="The single-use token from the same page.", envvar="CUTLAYER_JOIN_TOKEN")],
    home: HomeOption = None,
    name: Annotated[str, typer.Option(help="Kept for older scripts. The name is set with the token.")] = "",
    console_host: Annotated[str, typer.Option(help="Address of the worker's own page.")] = "127.0.0.1",
    console_port: Annotated[int, typer.Option(help="Port of the worker's own page.", min=1, max=65535)] = 8733,
    tensor_host: Annotated[str, typer.Option(help="Host name at which data sites reach this compute site.")] = "",
    tensor_ports: Annotated[str, typer.Option(help="Port range of a compute site.")] = "9100-9110",
    kind: Annotated[
        str,
        typer.Option(help="What this machine is for: data, compute or both. A compute worker accepts data workers."),
    ] = "data",
    start: Annotated[bool, typer.Option("--start", help="Start the worker immediately.")] = False,
) -> None:
    """Enrol this machine with a hub. The key pair is made here; the hub gets the certificate only."""
    folder = WorkerHome.find(home)
    options = JoinOptions(console_host, console_port, tensor_host, parse_ports(tensor_ports), parse_kind(kind))
    config, fresh = join(folder, url, token, options)
    enrolment = config.enrolment
    word = "Joined" if fresh else "Already joined"
    out.print(Text(f"{word} {config.hub_url} as {enrolment.worker_name} ({enrolment.organisation_name})."))
    if name and name != enrolment.worker_name:
        err.print(Text(f"The name was set with the token: {enrolment.worker_name}."))
    out.print(Text.assemble("Fingerprint: ", (fingerprint_groups(enrolment.fingerprint), "bold")))
    out.print(Text("Compare it with this worker's page on the hub, and confirm it there."))
    out.print(Text(f"Folder: {folder.root}   policy: {folder.policy_file}"))
    if fresh and enrolment.kind != options.kind:
        err.print(
            Text(f"The hub registered this worker as {enrolment.kind}, but its policy was written for {options.kind}.")
        )
        yours = (
            "If this machine only computes and holds no data, write `peer_trust: first_use`"
            if options.kind == "data"
            else "If this machine holds data, write `peer_trust: listed`"
        )
        err.print(
            Text(f"{yours} into {folder.policy_file}. If the hub is wrong, revoke the worker there and join again.")
        )
    if start:
        run(folder)
    else:
        out.print(Text("Next: cutlayer worker start" + (f" --home {folder.root}" if home else "")))


@app.command("start")
def start_command(
    home: HomeOption = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="If not enrolled yet, wait for `join` instead of exiting.")
    ] = False,
    console_host: Annotated[
        str, typer.Option(help="Another address for the worker's own page. It is remembered.")
    ] = "",
    console_port: Annotated[
        int, typer.Option(help="Another port for the worker's own page. It is remembered.", min=0, max=65535)
    ] = 0,
) -> None:
    """Run the worker in the foreground: agent, own page, local queue and jobs. Ctrl-C ends it all."""
    folder = WorkerHome.find(home)
    if wait and not folder.config_file.exists():
        out.print(Text("Waiting for: cutlayer worker join HUB --token … (see Enrol a worker on the hub)"))
        while not folder.config_file.exists():
            time.sleep(2)
    chosen = {name: value for name, value in (("console_host", console_host), ("console_port", console_port)) if value}
    if chosen:
        WorkerConfig.load(folder).model_copy(update=chosen).save(folder)
    run(folder)


@app.command("pin")
def pin_command(home: HomeOption = None) -> None:
    """The PIN that opens rows and raw logs on this worker's own page. It never leaves this machine."""
    folder = WorkerHome.find(home).root
    forget_tries(folder)
    out.print(Text(read_or_create_pin(folder)))


def run(home: WorkerHome) -> None:
    """Serve until told to stop."""
    from workers.agent.service import serve

    redact_logs()
    level = WorkerEnvironment().log_level.upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log every beat's address
    config = WorkerConfig.load(home)
    out.print(Text(f"{config.enrolment.worker_name} → {config.hub_url}   own page: {config.console_url}"))
    pin = read_or_create_pin(home.root)  # into no journal and no container's log
    out.print(Text("PIN of the worker's page: " + (pin if out.is_terminal else "cutlayer worker pin shows it")))
    serve(home)


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Examine this worker. Ends with status 1 if a check failed."""
    checks = run_checks(WorkerHome.find(home))
    if as_json:
        show_json([check.model_dump() for check in checks])
    else:
        show_checks(checks)
    if any(check.status == "failed" for check in checks):
        raise typer.Exit(1)


app.command("ledger")(ledger_command)


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """What this worker is, and what it is doing."""
    folder = WorkerHome.find(home)
    config = WorkerConfig.load(folder)
    jobs = Spool(folder.spool_file).jobs()
    if as_json:
        enrolment = json.loads(config.enrolment.model_dump_json(exclude={"hub_public_key_pem"}))
        show_json({"hub": config.hub_url, **enrolment, "jobs": [vars(job) for job in jobs]})
        return
    enrolled = config.enrolment
    out.print(Text(f"{enrolled.worker_name} ({enrolled.kind}) of {enrolled.organisation_name} → {config.hub_url}"))
    out.print(Text(f"Fingerprint {fingerprint_groups(enrolled.fingerprint)}"))
    if jobs:
        show_table(
            ("Run", "Kind", "State", "Phase", "Step", "Outcome"),
            [(job.run_id, job.kind, job.state, job.phase, job.step, job.outcome) for job in jobs],
        )
    else:
        out.print(Text("No jobs yet."))


@app.command("leave")
def leave_command(
    home: HomeOption = None, yes: Annotated[bool, typer.Option("--yes", help="Don't ask for confirmation.")] = False
) -> None:
    """End the enrolment: the key is deleted; datasets and policy stay. Works without the hub too."""
    folder = WorkerHome.find(home)
    name = WorkerConfig.load(folder).enrolment.worker_name
    if not yes:
        typer.confirm(f"End the enrolment of {name}?", abort=True)
    leave(folder, tell=lambda error: err.print(Text(f"The hub was not notified ({error.code}). Revoke {name} there.")))
    out.print(Text(f"{name} has left. Its datasets are still in {folder.datasets}."))


@app.command("rotate-key")
def rotate_key_command(home: HomeOption = None) -> None:
    """Make a new key and certificate. Runs that were approved with the old one need a new approval."""
    config = rotate_key(WorkerHome.find(home))
    out.print(Text.assemble("New fingerprint: ", (fingerprint_groups(config.enrolment.fingerprint), "bold")))
    out.print(Text("Restart the worker if it is running."))


@app.command()
def witness(
    home: HomeOption = None,
    accept: Annotated[bool, typer.Option("--accept", help="Continue from the hub's current log.")] = False,
) -> None:
    """Where the hub's audit log ended when this worker last looked, and whether it lost what it once had."""
    memory = Witness(WorkerHome.find(home).root)
    if accept and (taken := memory.accept()):
        goes_on = f"the hub's audit log continues from entry {taken.sequence}"
        out.print(
            Text(f"Accepted: {goes_on if taken.head else 'nothing is stored until the hub shows its log again'}.")
        )
    if finding := memory.finding():
        show_error(finding.error)
        raise typer.Exit(1)
    kept = memory.kept()
    out.print(
        Text(f"Entry {kept.sequence}, hash {kept.head}" if kept else "The hub's audit log has not been seen yet.")
    )


def parse_kind(text: str) -> Kind:
    """`data`, `compute` or `both`."""
    for kind in get_args(Kind):
        if text == kind:
            return cast(Kind, kind)
    raise typer.BadParameter(f"{text!r} is not data, compute or both.")


def parse_ports(text: str) -> tuple[int, int]:
    """`9100-9110`, or one port."""
    first, _, last = text.partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        low, high = 0, 0
    if not 1 <= low <= high <= 65535:
        raise typer.BadParameter(f"{text!r} is not a port range such as 9100-9110.")
    return low, high
