"""The agent: presence, reconciler and sender in one asyncio process, together with the worker's own web page."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn

from processes.file_lock import HeldError, sole_holder
from processes.private_files import close_new_files, tighten
from splitcore.errors import AppError
from workers import model_register
from workers.accounting.told import SpendingTold
from workers.agent.children import Children
from workers.agent.live_jobs import state_of
from workers.agent.presence import Presence
from workers.agent.reconciler import Reconciler
from workers.contracts import (
    HELD_MAX,
    WAKE_COPY,
    Assignments,
    Check,
    DatasetSpent,
    HeldVersion,
    Hello,
    Lane,
    PolicySummary,
    WitnessReport,
)
from workers.copies import copy_note
from workers.data.register import register_pending
from workers.data.store import DatasetStore, tidy_uploads
from workers.doctor import run_checks
from workers.enrol import recover_rotation
from workers.facts import gather_facts
from workers.hub import HubClient, HubError
from workers.jobs.kinds.registry import SILENT, is_beside
from workers.ledger.book import Book
from workers.measuring import measure_missing
from workers.models_registry import ModelRegistry
from workers.network import is_loopback
from workers.outbox.sender import Sender
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome
from workers.witness import Finding, Witness

log = logging.getLogger(__name__)
LOOK_SECONDS = 10.0  # between two looks at the hub's list when no doorbell rings
FIRST_LOOK_SECONDS = 1.0  # for which an agent waits for its control connection, which asks for a look by itself
SEND_SECONDS = 0.3  # between two looks at the spool
NOTICE_SECONDS = 0.1  # between two looks at the messages that must arrive
PAUSE_MOST = 10.0  # between two tries while the hub is away
DOCTOR_SECONDS = 120.0
CARE_SECONDS = 0.5  # between two looks at the queue and the Celery processes
CHANGE_SECONDS = 2.0  # between two looks at the files whose change calls for the doctor
STOP_SECONDS = 4.0  # what running jobs get on a shutdown
SHUT_OUT = "CL-1412"  # revoked: the hub will not say stop any more
SUSPECTED = "CL-1413"  # quarantined: nor pause
OTHER_VERSION = "CL-1407"  # hub and worker share no version of the protocol
FLUSH_SECONDS = 2.0  # what the last messages get


class Agent:
    """One worker's process. `run` returns when it was told to stop and everything has ended."""

    def __init__(self, home: WorkerHome, config: WorkerConfig) -> None:
        self._home, self._config = home, config
        self._spool = Spool(home.spool_file)
        self._hub = HubClient.of(home, config)
        self._children = Children(home, config, is_busy_beside=self._is_busy_beside)
        ring, ring_beside = self._children.ring, self._children.ring_beside
        self._reconciler = Reconciler(home, config, self._spool, self._hub, ring, ring_beside=ring_beside)
        live = self._reconciler.live
        self._sender = Sender(self._spool, self._hub, live.desire, over_budget=live.over_budget)
        self._wake, self._stop, self._examine = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._checks: list[Check] = []
        self._spending = SpendingTold(home)
        self._witness = Witness(home.root)
        self._refused_report: WitnessReport | None = None
        watched = (home.config_file, home.models_file, home.policy_file, home.trust_file, home.approvals_file)
        self._watched = (*watched, self._witness.finding_file)

    def _is_busy_beside(self) -> bool:
        return any(is_beside(row.kind) for row in self._spool.jobs(state="running"))

    async def run(self, console: uvicorn.Server | None, sockets: list[socket.socket]) -> None:
        """Serve until TERM or INT. Raises AppError where the queue cannot be started."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        tasks: list[asyncio.Task[Any]] = []
        try:
            self._children.start()
            presence = Presence(
                self._config.hub_url,
                self._hub.signer,
                beat_seconds=self._config.enrolment.beat_seconds,
                hello=self._hello,
                lanes=self._lanes,
                on_wake=self._on_wake,
                left=Book(self._home.ledger_file).add,
                protocol=lambda: self._hub.hub_protocol,
            )
            loops = [presence.run(), self._look_loop(), self._send_loop(), self._examine_loop(), self._care_loop()]
            tasks = [asyncio.create_task(work) for work in loops]  # type: ignore[arg-type]
            if console is not None:
                tasks.append(asyncio.create_task(console.serve(sockets=sockets)))
            stopping = asyncio.create_task(self._stop.wait())
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await self._shut_down(tasks, console)

    async def _shut_down(self, tasks: list[asyncio.Task[Any]], console: uvicorn.Server | None) -> None:
        """End the jobs, then say so to the hub if it is there; what it does not get now it gets at the next start."""
        log.info("stopping")
        if console is not None:
            console.force_exit = console.should_exit = True
        for task in tasks:
            task.cancel()
        self._children.stop(grace=STOP_SECONDS)
        with contextlib.suppress(AppError, TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._sender.send_all), FLUSH_SECONDS)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hub.close()

    def _lanes(self) -> list[Lane]:
        """What runs here, for the hub."""
        return self._spool.lanes(but=SILENT)

    def _hello(self) -> Hello:
        config = self._config
        try:
            policy = SitePolicy.load(self._home.policy_file).summary()
        except AppError:
            policy = PolicySummary()
        facts = gather_facts(self._home, tensor_host=config.tensor_host, tensor_ports=config.tensor_ports)
        # what is free changes at each look; told in steps of a gigabyte it is no news every few seconds
        gpus = [gpu.model_copy(update={"free_bytes": _whole_gigabytes(gpu.free_bytes)}) for gpu in facts.gpus]
        facts = facts.model_copy(update={"disk_free_bytes": _whole_gigabytes(facts.disk_free_bytes), "gpus": gpus})
        held = self._held()
        return Hello(
            facts=facts,
            checks=self._checks,
            policy=policy,
            console_url=config.console_url,
            held=None if held is None else sorted({one.digest for one in held}),
            held_versions=held,
            spent=self._spent(),
        )

    def _spent(self) -> list[DatasetSpent] | None:
        """What the datasets' rows have spent; None where it can't be told."""
        try:
            return self._spending.told()
        except Exception:  # whatever is wrong with the ledger, the worker stays online
            log.exception("the privacy ledger could not be read")
            return None

    def _held(self) -> list[HeldVersion] | None:
        """The datasets whose rows are here; None where they cannot be told: the hello goes out in any case."""
        try:
            held = DatasetStore(self._home.root).held()
        except Exception:  # whatever is wrong with the datasets' folder, the worker stays online
            log.exception("the datasets could not be listed")
            return None
        if len(held) > HELD_MAX:
            return None
        return [HeldVersion(name=one.name, version=one.version, digest=one.digest) for one in held]

    def _on_wake(self, reason: str) -> None:
        """The hub's doorbell. One reason is news for people: a second process uses this worker's key."""
        if reason == WAKE_COPY and copy_note(self._home):
            log.error("%s", AppError("CL-1419"))
            self._examine.set()
        self._wake.set()

    async def _look_loop(self) -> None:
        """Ask for the hub's list on each doorbell and every few seconds, and act on it."""

        async def rest(seconds: float) -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), seconds)
            self._wake.clear()

        await rest(FIRST_LOOK_SECONDS)
        await self._forever("assignments", self._look, LOOK_SECONDS, rest)

    async def _look(self) -> None:
        try:
            wanted = await asyncio.to_thread(self._hub.assignments)
        except HubError as error:
            if error.code == SHUT_OUT:
                await asyncio.to_thread(self._reconciler.live.stop_all)
            elif error.code == SUSPECTED:
                await asyncio.to_thread(self._reconciler.live.hold_all)
            raise
        self._sender.faults.accepted()
        try:
            await asyncio.to_thread(self._reconciler.apply, wanted)
        finally:
            await asyncio.to_thread(self._witness_chain, wanted)
        await asyncio.to_thread(self._tell_witness)
        with contextlib.suppress(HubError):
            await asyncio.to_thread(register_pending, DatasetStore(self._home.root), self._hub)
        with contextlib.suppress(HubError):
            await asyncio.to_thread(model_register.register_pending, ModelRegistry(self._home), self._hub)

    def _witness_chain(self, wanted: Assignments) -> None:
        """Keep the end of the hub's audit log. A hub that went back to a backup is asked again what it has.

        What goes wrong here is for the log and the doctor: nothing else waits for it.
        """

        def ask_again(finding: Finding) -> None:
            log.warning("%s: %s", finding.error.code, finding.error.message)
            if finding.kind == "hidden":
                return
            for assignment in wanted.assignments:
                self._spool.doubt(assignment.participant_id)

        try:
            self._witness.see(wanted.chain, before=ask_again)
        except AppError as error:
            log.error("the hub's audit log could not be checked: %s", error)

    def _tell_witness(self) -> None:
        """Report what was found of the audit log, or that it was accepted, until the hub has it or refuses it."""
        report = None
        try:
            report = self._witness.untold()
            if report is None or report == self._refused_report:
                return
            self._hub.post("/witness", report)
            self._witness.told(report)
        except HubError as error:
            log.info("the report on the audit log was not delivered: %s", error.code)
            if not error.transient:  # such as an older hub, which has no place for it
                self._refused_report = report
        except AppError as error:
            log.error("the report on the audit log could not be stored: %s", error)

    async def _send_loop(self) -> None:
        async def send() -> None:
            await asyncio.to_thread(self._sender.send_all)

        async def rest(seconds: float) -> None:
            """Records gather for a while; a message, such as the end of a process, is on its way sooner."""
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                await asyncio.sleep(min(left, NOTICE_SECONDS))
                if seconds <= SEND_SECONDS and await asyncio.to_thread(self._sender.is_urgent):
                    return

        await self._forever("telemetry", send, SEND_SECONDS, rest)

    async def _examine_loop(self) -> None:
        """Refresh the doctor's results, which go to the hub with the next hello: now and then, and after a change."""
        examined_at, seen = -DOCTOR_SECONDS, None
        while True:
            files = [state_of(path) for path in self._watched]
            if files != seen or self._examine.is_set() or time.monotonic() - examined_at > DOCTOR_SECONDS:
                self._examine.clear()
                examined_at, seen = time.monotonic(), files
                try:
                    # what was revoked or withdrawn ends, whether the hub is there or not
                    await asyncio.to_thread(self._reconciler.live.review)
                    self._wake.set()  # a contract that was refused, or that waited for this site, may start now
                    await asyncio.to_thread(tidy_uploads, self._home.root)
                    self._checks = await asyncio.to_thread(run_checks, self._home)
                    if await asyncio.to_thread(measure_missing, ModelRegistry(self._home)):
                        self._wake.set()  # the next look tells the hub
                except Exception:  # as in _forever: a fault in one look ends nothing
                    log.exception("the worker's checks failed")
            await asyncio.sleep(CHANGE_SECONDS)

    async def _care_loop(self) -> None:
        """Start again what has ended by itself. In this thread: the children's lives are bound to it.

        The queue is asked in another one: a site's own may not answer.
        """
        while True:
            await asyncio.sleep(CARE_SECONDS)
            try:
                emptied = await asyncio.to_thread(self._children.queue_was_emptied)
                if self._children.look_after() or emptied:
                    self._reconciler.forget_rings()
                    self._wake.set()
            except AppError as error:
                log.error("%s", error)
            except Exception:
                log.exception("supervising the queue failed")

    async def _forever(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        rest: Callable[[float], Awaitable[None]],
    ) -> None:
        """Work and rest; back off while the hub is away, and never end by an error."""
        pause = seconds
        while True:
            try:
                await work()
                pause = seconds
            except HubError as error:
                pause = min(max(pause, 0.5) * 2, PAUSE_MOST)
                # No outage: it lasts until a person upgrades one of the two, and is said in full.
                log.log(logging.ERROR if error.code == OTHER_VERSION else logging.INFO, "%s: %s", name, error)
            except AppError as error:
                log.error("%s: %s", name, error)
            except Exception:  # a fault of ours in one look must not take the running jobs down
                log.exception("%s failed", name)
                pause = PAUSE_MOST
            await rest(pause)


def _whole_gigabytes(count: int) -> int:
    return count // 10**9 * 10**9


@contextlib.contextmanager
def only_one(home: WorkerHome) -> Iterator[None]:
    """Hold the worker's folder. Raises AppError CL-1440 where another process has it."""
    try:
        with sole_holder(home.run / "agent.lock"):
            yield
    except HeldError as error:
        raise AppError("CL-1440", f"A worker is already running in {home.root}{error.by}.") from None


class ConsoleServer(uvicorn.Server):
    """uvicorn inside the agent, which has the signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def build_console(home: WorkerHome, config: WorkerConfig) -> tuple[ConsoleServer, list[socket.socket]]:
    """The worker's own page and the socket that it listens on. Raises AppError CL-1443."""
    os.environ["CUTLAYER_WORKER_HOME"] = str(home.root)
    os.environ["DJANGO_SETTINGS_MODULE"] = "workers.console.settings"
    os.environ.setdefault("CUTLAYER_CONSOLE_HOSTS", ",".join({config.console_host, "127.0.0.1", "localhost"}))
    listener = _listen(config)
    from workers.console.asgi import application, prepare

    prepare()
    settings = uvicorn.Config(application, log_level="warning", lifespan="off", ws="none", access_log=False)
    return ConsoleServer(settings), [listener]


def _listen(config: WorkerConfig) -> socket.socket:
    if not is_loopback(config.console_host):
        log.warning("the console listens on %s without TLS; put a proxy in front of it", config.console_host)
    listener = socket.socket(socket.AF_INET6 if ":" in config.console_host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.console_host, config.console_port))
        listener.listen(128)  # here: of two that start at once both may bind, and one may listen
    except OSError as error:
        listener.close()
        where = f"{config.console_host}:{config.console_port}"
        raise AppError("CL-1443", f"The console can't listen on {where}: {error.strerror}.") from None
    return listener


def serve(home: WorkerHome) -> None:
    """Run the worker in the foreground until TERM or INT. Raises AppError."""
    config = WorkerConfig.load(home)
    close_new_files()
    home.create()
    with only_one(home):
        tighten(home.root)
        config = recover_rotation(home, config)
        has_console = importlib.util.find_spec("workers.console.asgi") is not None
        console, sockets = build_console(home, config) if has_console else (None, [])
        asyncio.run(_serve(home, config, console, sockets))


async def _serve(
    home: WorkerHome, config: WorkerConfig, console: ConsoleServer | None, sockets: list[socket.socket]
) -> None:
    await Agent(home, config).run(console, sockets)
