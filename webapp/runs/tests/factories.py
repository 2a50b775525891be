"""A run with two data organisations and a compute organisation, at any point of its life."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import factory
import numpy as np
from django.core.cache import cache
from django.db.models import QuerySet
from django.utils import timezone
from safetensors.numpy import save_file

from splitcore.config import LoraSection
from webapp.accounts.models import User
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.fleet.models import Worker, WorkerModel, WorkerState
from webapp.jobs.models import Job
from webapp.jobs.services import job_progress
from webapp.orgs.models import Organisation, PartyKind, Role
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, ProjectFactory, member
from webapp.projects.models import Project
from webapp.runs.life.parts import half_of
from webapp.runs.lifecycle import participant_claim, participant_exit, verdict_record
from webapp.runs.models import Participant, Run
from webapp.runs.services import PartyChoice, approval_decide, run_draft_save, run_submit
from workers.contracts import PROTOCOL_VERSION, Claim, Exit, PolicyVerdict

MODEL, MANIFEST, LAYERS, WIDTH = "acme/tiny", "a" * 64, 6, 8
CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": LAYERS,
    "hidden_size": WIDTH,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}
_WIDTHS = {"q_proj": (8, 8), "k_proj": (8, 8), "v_proj": (8, 8), "o_proj": (8, 8)}
_INNER = {"gate_proj": (8, 16), "up_proj": (8, 16), "down_proj": (16, 8)}
SHAPE = {  # of the same model, as a worker measures it
    "hidden": WIDTH,
    "kinds": [
        {
            "linears": [
                {"path": f"{part}.{name}", "inputs": inputs, "outputs": outputs}
                for part, maps in (("self_attn", _WIDTHS), ("mlp", _INNER))
                for name, (inputs, outputs) in maps.items()
            ],
            "other": 16,
            "heads": 2,
            "query": 8,
            "key": 8,
            "inner": 16,
        }
    ],
    "order": [0] * LAYERS,
    "layers_path": "model.layers",
    "output_head": {"path": "lm_head", "inputs": 8, "outputs": 64, "all_linear": False, "quantises": False},
    "head_ends": 512,
    "body_ends": 0,
    "output_ends": 520,
}


class WorkerFactory(factory.django.DjangoModelFactory):
    """An active worker that holds the test model."""

    class Meta:
        model = Worker
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"worker-{n}")
    protocol = PROTOCOL_VERSION
    kind = PartyKind.DATA
    state = WorkerState.ACTIVE
    certificate_pem = "pem"
    fingerprint = factory.Sequence(lambda n: f"{n:064x}")
    confirmed_at = factory.LazyFunction(timezone.now)
    connected_at = factory.LazyFunction(timezone.now)
    last_beat_at = factory.LazyFunction(timezone.now)

    @factory.post_generation
    def model(self, create, extracted, **kwargs):
        if create:
            WorkerModel.objects.create(
                worker=self,
                model_id=MODEL,
                manifest_hash=MANIFEST,
                config=CONFIG,
                shape=SHAPE,
                parameters=10_000,
                bytes=40_000,
            )


def dataset_version(worker: Worker, project: Project, **metadata: Any) -> DatasetVersion:
    """A dataset of the worker, offered to the project."""
    dataset = Dataset.objects.create(organisation=worker.organisation, worker=worker, name=f"rows of {worker.name}")
    dataset.projects.add(project)
    facts = {"format": "prompt_completion", "rows": 110, "train_rows": 100, "heldout_rows": 10, **metadata}
    return DatasetVersion.objects.create(dataset=dataset, number=1, digest="d" * 64, metadata=facts)


@dataclass
class World:
    """Who and what a test needs."""

    project: Project
    organisations: list[Organisation]  # data A, data B, compute
    workers: list[Worker]
    versions: list[DatasetVersion]
    engineer: User
    approvers: list[User]
    run: Run

    def part(self, place: int) -> Participant:
        """The participant of the organisation at `place`."""
        return self.run.participants.get(worker=self.workers[place])

    @property
    def halves(self) -> QuerySet[Job]:
        """The jobs of the run's halves, to be set as a test needs them."""
        return Job.objects.filter(participant__run=self.run, kind="train")

    def fresh(self) -> Run:
        """The run as stored now."""
        self.run.refresh_from_db()
        return self.run


def config(**sections: dict[str, Any]) -> dict[str, Any]:
    """A valid configuration of the test model."""
    return {"model": {"name_or_path": MODEL}, "training": {"steps": 4, "batch_size": 2, "max_length": 16}, **sections}


def long_config() -> dict[str, Any]:
    """The same with a thousand steps, for tests that tell of more than four."""
    return config(training={"steps": 1000, "batch_size": 2, "max_length": 16})


def world(*, run_config: dict[str, Any] | None = None, prefix: str = "") -> World:
    """A draft of two data organisations and a compute organisation."""
    kinds = [("Alpha clinic", PartyKind.DATA), ("Beta bank", PartyKind.DATA), ("Gamma compute", PartyKind.COMPUTE)]
    organisations = [OrganisationFactory(name=prefix + name, kind=kind) for name, kind in kinds]
    engineer = member(organisations[0], Role.ENGINEER)
    project = ProjectFactory(owner=organisations[0], created_by=engineer)
    for organisation in organisations[1:]:
        ParticipationFactory(project=project, organisation=organisation, kind=organisation.kind)
    workers = [WorkerFactory(organisation=o, kind=o.kind) for o in organisations]
    versions = [dataset_version(worker, project) for worker in workers[:2]]
    approvers = [member(o, Role.OPERATOR if o.kind == PartyKind.COMPUTE else Role.STEWARD) for o in organisations]
    run = run_draft_save(
        actor=engineer,
        project=project,
        organisation=organisations[0],
        name="First run",
        config=run_config or config(),
        parties=[
            PartyChoice("client", workers[0].id, versions[0].id),
            PartyChoice("client", workers[1].id, versions[1].id),
            PartyChoice("server", workers[2].id),
        ],
        public_prompts=["A public prompt"],
    )
    return World(project, organisations, workers, versions, engineer, approvers, run)


def submit(w: World) -> Run:
    """Submit the draft."""
    run_submit(actor=w.engineer, run=w.run)
    return w.fresh()


def approve(w: World, *places: int) -> Run:
    """Approve for the organisations at `places` (all, when none is given)."""
    for place in places or range(3):
        approval_decide(
            actor=w.approvers[place],
            run=w.run,
            organisation=w.organisations[place],
            approve=True,
            contract_hash=w.fresh().contract_hash,
        )
    return w.fresh()


def started(**kwargs: Any) -> World:
    """A run that every organisation has approved and that every worker has taken up."""
    w = world(**kwargs)
    submit(w)
    approve(w)
    for place in range(3):
        claim(w, place)
    return w


def hub_watched(since: timedelta = timedelta(hours=1), last: timedelta = timedelta(0)) -> None:
    """Let the hub have looked at its runs without a gap for a while, the last time `last` ago."""
    now = timezone.now()
    cache.set_many({"sweep:last": (now - last).isoformat(), "sweep:since": (now - since).isoformat()}, timeout=None)


def claim(w: World, place: int) -> int:
    """Claim the part at `place`; its new attempt."""
    body = Claim(participant_id=w.part(place).id, contract_hash=w.fresh().contract_hash, job_id="job")
    return participant_claim(worker=w.workers[place], run_id=w.run.id, claim=body).attempt


def hold_checkpoints(w: World, step: int) -> None:
    """Every part tells that it holds a checkpoint of this step."""
    for part in w.run.participants.all():
        job_progress(half_of(part), number=max(part.attempt, 1), checkpoint_step=step)


def exit_part(w: World, place: int, outcome: str, error: Any = None, attempt: int | None = None) -> Participant:
    """Report the exit of the part at `place`."""
    part = w.part(place)
    body = Exit(
        participant_id=part.id, attempt=part.attempt if attempt is None else attempt, outcome=outcome, error=error
    )
    return participant_exit(worker=w.workers[place], run_id=w.run.id, exit_=body)


def verdict(w: World, place: int, *, accepted: bool, refusals: list[dict[str, str]] | None = None) -> None:
    """Send the policy verdict of the worker at `place`."""
    body = PolicyVerdict.model_validate(
        {
            "participant_id": w.part(place).id,
            "contract_hash": w.fresh().contract_hash,
            "accepted": accepted,
            "refusals": refusals or [],
        }
    )
    verdict_record(worker=w.workers[place], run_id=w.run.id, verdict=body)


def segment_bytes(w: World, name: str, party: str, layers: range, **tensors: Any) -> bytes:
    """A segment as a worker uploads it: tensors, and the configuration in the header."""
    lora = LoraSection.model_validate(w.run.config.get("lora") or {})
    arrays = tensors or {
        f"base_model.model.model.layers.{layer}.mlp.up_proj.lora_{part}.weight": np.full(shape, 0.5, np.float32)
        for layer in layers
        for part, shape in (("A", (lora.rank, WIDTH)), ("B", (16, lora.rank)))
    }
    revision = w.run.config["model"].get("revision")
    segment = {
        "role": name, "start": layers.start, "end": layers.stop, "total": LAYERS, "party": party, "step": 4,
        "model": MODEL, "revision": revision, "manifest": MANIFEST,
    }  # fmt: skip
    peft = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "r": lora.rank,
        "lora_alpha": lora.alpha, "lora_dropout": lora.dropout,
        "target_modules": ["up_proj"], "fan_in_fan_out": False, "use_rslora": False, "use_dora": False,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segment.safetensors"
        metadata = {"adapter_config": json.dumps(peft), "segment": json.dumps(segment)}
        save_file(arrays, path, metadata=metadata)
        return path.read_bytes()
