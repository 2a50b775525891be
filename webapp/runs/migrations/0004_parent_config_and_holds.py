"""What a clone was cloned from, as it was then; and which organisations hold a run."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def keep_parents(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Existing clones are compared with their parent as it is now, unless that is another organisation's draft."""
    run = apps.get_model("runs", "Run")
    for clone in run.objects.exclude(parent=None).select_related("parent").iterator():
        if clone.parent.state != "draft" or clone.parent.organisation_id == clone.organisation_id:
            run.objects.filter(pk=clone.pk).update(parent_config=clone.parent.config)


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0003_draft_versions"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="held_by",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="run",
            name="parent_config",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.RunPython(keep_parents, migrations.RunPython.noop),
    ]
