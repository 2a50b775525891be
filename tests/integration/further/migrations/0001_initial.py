"""A table of its own, a column more on the table of participants, and a write to every run and participant."""

from __future__ import annotations

from typing import Any

from django.db import migrations, models


def touch(apps: Any, schema_editor: Any) -> None:
    """What a migration of data does: every row is written anew."""
    seen = apps.get_model("further", "Seen")
    for name in ("Run", "Participant"):
        for row in apps.get_model("runs", name).objects.all():
            row.save()
            seen.objects.create(row=row.pk)


class Migration(migrations.Migration):
    """After whatever the hub has."""

    initial = True
    dependencies = [("runs", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Seen",
            fields=[("id", models.BigAutoField(primary_key=True)), ("row", models.CharField(max_length=40))],
        ),
        migrations.RunSQL("ALTER TABLE runs_participant ADD COLUMN further integer NOT NULL DEFAULT 7"),
        migrations.RunPython(touch, migrations.RunPython.noop),
    ]
