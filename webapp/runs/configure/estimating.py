"""The estimate for the API: the same figures as the form's preview."""

from __future__ import annotations

from typing import Any

from splitcore.config import RunConfig, override_problems
from splitcore.errors import AppError
from webapp.projects.models import Project
from webapp.runs.configure.forms import Problem
from webapp.runs.configure.options import PartyOptions, model_options, party_options
from webapp.runs.configure.policies import policy_conflicts
from webapp.runs.configure.preview import preview_build
from webapp.runs.models import ParticipantRole
from webapp.runs.services import PartyChoice


def estimate_of(project: Project, config: dict[str, Any], parties: list[PartyChoice]) -> dict[str, Any]:
    """Problems, warnings and the plan as JSON."""
    options = party_options(project, None, data={})
    choose(options, parties)
    options.name_parties(None)
    problems: dict[str, str] = {}
    parsed: RunConfig | None = None
    try:
        parsed = RunConfig.parse(config)
    except AppError as error:
        problems = _sentences(error.details.get("fields", []))
    else:
        problems = _sentences(override_problems(parsed, [party.party for party in options.trainers]))
        models = model_options(project, options.worker_ids)
        model = next((model for model in models if model.model_id == parsed.model.name_or_path), None)
        for conflict in policy_conflicts(parsed, options.sites, model):
            problems.setdefault(conflict.path, f"{conflict.path}: {conflict.message}")
    options.check_formats()
    if parsed is not None:
        options.check_labels(parsed)
    preview = preview_build(project, parsed, options, [Problem(text) for text in problems.values()])
    memory = [
        {
            "organisation": line.name,
            "worker": line.worker,
            "expected": line.expected,
            "high": line.high,
            "available": line.available,
            "verdict": line.verdict,
        }
        for line in preview.memory
    ]
    plan = preview.plan.to_dict() if preview.plan else None
    if plan is not None and preview.model is not None:
        plan["base_parameters"] = preview.model.parameters
    return {
        "problems": [problem.text for problem in preview.problems],
        "warnings": preview.warnings,
        "steps": preview.steps,
        "memory": memory,
        "time_source": preview.speeds.source if preview.speeds else "",
        "time_measured": bool(preview.speeds and preview.speeds.measured),
        "plan": plan,
    }


def _sentences(problems: list[dict[str, str]]) -> dict[str, str]:
    return {item["field"]: f"{item['field']}: {item['message']}" for item in problems}


def choose(options: PartyOptions, parties: list[PartyChoice]) -> None:
    """Mark the parties of a request among what the project offers."""
    for choice in parties:
        if choice.role == ParticipantRole.SERVER:
            for compute in options.compute:
                compute.chosen = compute.chosen or compute.worker.id == choice.worker_id
            continue
        for option in options.data:
            if any(dataset.version.id == choice.dataset_version_id for dataset in option.datasets):
                option.chosen_version, option.role = choice.dataset_version_id, choice.role
