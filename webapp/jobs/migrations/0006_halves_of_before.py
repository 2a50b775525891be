from django.db import migrations
from django.db.models import Max

from webapp.core.ids import new_id


def take_over(apps, schema_editor):
    """What a part knew of its half is known of the half's job; a check ended with its newest attempt.

    A hub that still runs while its tables move on makes parts without a job of their half.
    """
    jobs, parts = apps.get_model("jobs", "Job").objects, apps.get_model("runs", "Participant").objects
    for part in parts.exclude(role="evaluator").exclude(jobs__kind="train").iterator():
        jobs.create(id=new_id("job"), participant=part, kind="train")
    for job in jobs.filter(kind="train").select_related("participant").iterator():
        part = job.participant
        job.wanted_attempt, job.outcome, job.ended_at = part.wanted_attempt, part.outcome, part.stop_confirmed_at
        job.save(update_fields=["wanted_attempt", "outcome", "ended_at"])
    checks = jobs.exclude(kind="train").exclude(outcome="")
    for job in checks.annotate(newest=Max("attempts__ended_at")).iterator():
        job.ended_at = job.newest
        job.save(update_fields=["ended_at"])


def put_back(apps, schema_editor):
    for job in apps.get_model("jobs", "Job").objects.filter(kind="train").select_related("participant").iterator():
        part = job.participant
        part.wanted_attempt, part.outcome, part.stop_confirmed_at = job.wanted_attempt, job.outcome, job.ended_at
        part.save(update_fields=["wanted_attempt", "outcome", "stop_confirmed_at"])


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_halves"), ("runs", "0006_phase_before_drop")]

    operations = [migrations.RunPython(take_over, put_back)]
