from django.db import migrations

from webapp.core.ids import new_id


def take_over(apps, schema_editor):
    """Every half has its job, every check that was reported too, and so has each that is still waited for."""
    jobs, parts = apps.get_model("jobs", "Job").objects, apps.get_model("runs", "Participant").objects
    for part in parts.exclude(role="evaluator").iterator():
        job, _ = jobs.get_or_create(participant=part, kind="train", defaults={"id": new_id("job")})
        job.outcome = part.outcome
        job.save(update_fields=["outcome"])
    for adapter in apps.get_model("adapters", "Adapter").objects.select_related("run").order_by("party").iterator():
        for part in parts.filter(run=adapter.run):
            report = adapter.reports.get(part.id)
            if report is not None:
                _reported(apps, part, adapter, report)
            elif (
                adapter.run.state == "finishing" and adapter.state in ("joined", "ready") and _is_waited(part, adapter)
            ):
                jobs.create(id=new_id("job"), participant=part, kind="evaluate", subject=adapter.id)


def _reported(apps, part, adapter, report):
    checks = report.get("checks") or []
    is_done = bool(checks) and all(check["status"] != "failed" for check in checks)
    outcome = "done" if is_done else "failed"
    kind = "evaluate" if part.dataset_version_id else "verify"
    job = apps.get_model("jobs", "Job").objects.create(
        id=new_id("job"), participant=part, kind=kind, subject=adapter.id, outcome=outcome
    )
    apps.get_model("jobs", "Attempt").objects.create(
        id=new_id("att"), job=job, number=1, ended_at=report.get("at"), outcome=outcome
    )


def _is_waited(part, adapter):
    """A party with rows; the hub's next sweep asks the compute worker where none is left."""
    is_for = not adapter.party or adapter.party == part.party or part.role != "client"
    return bool(part.dataset_version_id) and part.outcome in ("", "done") and is_for


def put_back(apps, schema_editor):
    jobs = apps.get_model("jobs", "Job").objects
    jobs.exclude(kind="train").delete()
    jobs.filter(attempts__isnull=True).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0003_requests"),
        ("runs", "0006_phase_before_drop"),
        ("adapters", "0002_initial"),
    ]

    operations = [migrations.RunPython(take_over, put_back)]
