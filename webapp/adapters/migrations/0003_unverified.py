from django.db import migrations, models


def end_unverified(apps, schema_editor):
    """What was not verified when its run was done never will be."""
    apps.get_model("adapters", "Adapter").objects.filter(run__state="done", state="joined").update(state="unverified")


class Migration(migrations.Migration):
    dependencies = [("adapters", "0002_initial"), ("runs", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="adapter",
            name="state",
            field=models.CharField(
                choices=[
                    ("collecting", "Collecting segments"),
                    ("joined", "Joined, not yet verified"),
                    ("ready", "Verified"),
                    ("failed", "Failed its checks"),
                    ("unverified", "Not verified"),
                ],
                default="collecting",
                max_length=12,
            ),
        ),
        migrations.RunPython(end_unverified, migrations.RunPython.noop),
    ]
