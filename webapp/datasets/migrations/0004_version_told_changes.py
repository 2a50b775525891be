"""How often the audit log was told that the rows of a version went or came back."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0003_version_missing_at")]

    operations = [
        migrations.AddField(
            model_name="datasetversion", name="told_changes", field=models.PositiveSmallIntegerField(default=0)
        ),
    ]
