from django.db import migrations

from webapp.core.ids import new_id


def take_over(apps, schema_editor):
    """The newest attempt of each part is known by the part itself, and its checkpoint stood among the part's figures."""
    jobs, attempts = apps.get_model("jobs", "Job").objects, apps.get_model("jobs", "Attempt").objects
    for part in apps.get_model("runs", "Participant").objects.iterator():
        step = part.metrics.pop("checkpoint_step", None)
        if step is not None:
            part.save(update_fields=["metrics"])
        if part.attempt > 0 and part.role != "evaluator":
            job = jobs.create(id=new_id("job"), participant=part, kind="train")
            attempts.create(
                id=new_id("att"),
                job=job,
                number=part.attempt,
                ended_at=part.stop_confirmed_at,
                outcome=part.outcome,
                error=part.error,
                checkpoint_step=step,
            )


def put_back(apps, schema_editor):
    told = apps.get_model("jobs", "Attempt").objects.filter(job__kind="train", checkpoint_step__isnull=False)
    for attempt in told.select_related("job__participant").order_by("number"):
        part = attempt.job.participant
        part.refresh_from_db()
        part.metrics["checkpoint_step"] = attempt.checkpoint_step
        part.save(update_fields=["metrics"])


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial"), ("runs", "0006_phase_before_drop")]

    operations = [migrations.RunPython(take_over, put_back)]
