from django.db import migrations, models


def take_out(apps, schema_editor):
    """What a part did before its worker fell silent stood among the part's figures."""
    participants = apps.get_model("runs", "Participant").objects
    for part in participants.filter(metrics__has_key="phase_before_drop").iterator():
        part.phase_before_drop = part.metrics.pop("phase_before_drop") or ""
        part.save(update_fields=["metrics", "phase_before_drop"])


def put_back(apps, schema_editor):
    for part in apps.get_model("runs", "Participant").objects.exclude(phase_before_drop="").iterator():
        part.metrics["phase_before_drop"] = part.phase_before_drop
        part.save(update_fields=["metrics"])


class Migration(migrations.Migration):
    dependencies = [("runs", "0005_run_waited_at")]

    operations = [
        migrations.AddField("participant", "phase_before_drop", models.CharField(blank=True, max_length=20)),
        migrations.RunPython(take_out, put_back),
    ]
