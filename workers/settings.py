"""A worker's folder: where everything of one installation lives, and the options that its operator has set."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from processes.private_files import private_folder, replace_private
from splitcore.errors import AppError
from workers.contracts import EnrolReply


class WorkerEnvironment(BaseSettings):
    """What a worker takes from the environment. Proxies (HTTPS_PROXY, NO_PROXY) are read by the libraries."""

    model_config = SettingsConfigDict(env_prefix="CUTLAYER_", extra="ignore")

    worker_home: Path = Path("~/.cutlayer/worker")
    ca_bundle: Path | None = None
    dataset_quota_bytes: int | None = None
    log_level: str = "INFO"
    warm_halves: bool = False  # on a CPU: keep a process with torch loaded, so that the next job starts sooner
    min_free_bytes: int = 200_000_000  # a job does not start with less free disk than this


@dataclass(frozen=True)
class WorkerHome:
    """The folder of one worker and the names in it."""

    root: Path

    @classmethod
    def find(cls, path: Path | str | None = None) -> WorkerHome:
        """The folder that was named, else the environment's, else ~/.cutlayer/worker."""
        return cls(Path(path or WorkerEnvironment().worker_home).expanduser().resolve())

    @property
    def config_file(self) -> Path:
        """Enrolment and options."""
        return self.root / "config.json"

    @property
    def keys(self) -> Path:
        """Key and certificate, and the site's own HMAC key: readable by the owner alone."""
        return self.root / "keys"

    @property
    def policy_file(self) -> Path:
        """What this site allows."""
        return self.root / "policy.yaml"

    @property
    def trust_file(self) -> Path:
        """Fingerprints of other workers that this site trusts."""
        return self.root / "trust.json"

    @property
    def approvals_file(self) -> Path:
        """Contracts that this site has approved itself."""
        return self.root / "approvals.json"

    @property
    def models_file(self) -> Path:
        """Base models and their folders."""
        return self.root / "models.json"

    @property
    def speed_file(self) -> Path:
        """How fast this machine computes, as it measured itself."""
        return self.root / "speed.json"

    @property
    def datasets(self) -> Path:
        """The rows. They stay here."""
        return self.root / "datasets"

    @property
    def jobs(self) -> Path:
        """One folder a job."""
        return self.root / "jobs"

    @property
    def spool_file(self) -> Path:
        """What waits for the hub."""
        return self.root / "spool.sqlite3"

    @property
    def ledger_file(self) -> Path:
        """What has left this machine."""
        return self.root / "ledger.sqlite3"

    @property
    def privacy_file(self) -> Path:
        """What the rows of this machine have spent by releases with noise."""
        return self.root / "privacy.sqlite3"

    @property
    def clock_file(self) -> Path:
        """How far the hub's clock is ahead of this machine's."""
        return self.run / "hub_clock"

    @property
    def logs(self) -> Path:
        """Raw logs, which stay here."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Locks and sockets of the running processes."""
        return self.root / "run"

    def create(self) -> None:
        """Make the folder and its parts, closed to other users."""
        for folder in (self.root, self.keys, self.datasets, self.jobs, self.logs, self.run):
            private_folder(folder)


class WorkerConfig(BaseModel):
    """`config.json`: what `join` has settled."""

    model_config = ConfigDict(extra="forbid")

    hub_url: str
    enrolment: EnrolReply
    joined_with: str = ""  # SHA-256 of the token, so that another one is told from a repeated command
    console_host: str = "127.0.0.1"
    console_port: int = 8733
    tensor_host: str = "127.0.0.1"
    tensor_bind: str = "0.0.0.0"  # noqa: S104  # mutual TLS guards it; a site may bind one interface only
    tensor_ports: tuple[int, int] = (9100, 9110)
    torch_threads: int = Field(0, ge=0)  # 0: torch's own choice
    slots: int = Field(0, ge=0, le=64)  # jobs at a time; 0: one per GPU, else one

    @property
    def worker_id(self) -> str:
        """The id under which the hub knows this worker."""
        return self.enrolment.worker_id

    @property
    def console_url(self) -> str:
        """Address of the worker's own page."""
        return f"http://{self.console_host}:{self.console_port}/"

    @classmethod
    def load(cls, home: WorkerHome) -> WorkerConfig:
        """Read the file. Raises AppError CL-1420 where there is none or it cannot be read."""
        try:
            return cls.model_validate_json(home.config_file.read_text())
        except FileNotFoundError:
            raise AppError("CL-1420", f"No worker is enrolled in {home.root}.") from None
        except (OSError, ValidationError) as error:
            raise AppError("CL-1420", f"{home.config_file} can't be read ({type(error).__name__}).") from None

    def save(self, home: WorkerHome) -> None:
        """Write the file whole or not at all."""
        write_private(home.config_file, self.model_dump_json(indent=2))


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner alone."""
    replace_private(path, text.encode())


def read_json(path: Path, default: Any = None) -> Any:
    """The content of a JSON file, or `default` where there is none or it is not JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return default
