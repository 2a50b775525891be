"""From names that a person types to the ids that the REST API takes."""

from __future__ import annotations

from typing import Any

from splitcore.errors import AppError
from workers.rest import RestClient


def dataset_party(known: list[dict[str, Any]], wanted: str) -> dict[str, str]:
    """Worker and version of `NAME`, `NAME:NUMBER` or a version's id. Raises AppError CL-1223."""
    name, _, number = wanted.partition(":")
    for dataset in known:
        versions = [version for version in dataset["versions"] if version["withdrawn_at"] is None]
        for version in sorted(versions, key=lambda version: -int(version["number"])):
            is_wanted = dataset["name"] == name and number in ("", str(version["number"]))
            if is_wanted or version["id"] == wanted:
                return {"worker": dataset["worker"], "dataset_version": version["id"]}
    offered = ", ".join(sorted({dataset["name"] for dataset in known})) or "none"
    raise AppError("CL-1223", f"No dataset {wanted!r} is offered to this project.", f"Offered: {offered}.")


def worker_id(client: RestClient, wanted: str) -> str:
    """The id of a worker that is named by its id, or by its name within the own organisation."""
    if wanted.startswith("wrk_"):
        return wanted
    workers = client.get("/workers")
    found = [worker["id"] for worker in workers if worker["name"] == wanted]
    if len(found) != 1:
        raise AppError(
            "CL-1404",
            f"Your organisation has no worker named {wanted!r}.",
            "For a partner's worker, give its id (wrk_…).",
        )
    return str(found[0])


def project_id(client: RestClient, wanted: str) -> str:
    """The id of a project that is named by its id or its name, archived ones too. Raises AppError CL-1404."""
    listed = [*client.get("/projects"), *client.get("/projects", archived=True)]
    known = {project["id"]: project["name"] for project in listed}
    found = [one for one, name in known.items() if wanted in (one, name)]
    if len(found) != 1:
        names = ", ".join(f"{name} ({one})" for one, name in list(known.items())[:20]) or "none"
        raise AppError("CL-1404", f"You have no project {wanted!r}.", f"Your projects: {names}.")
    return str(found[0])
