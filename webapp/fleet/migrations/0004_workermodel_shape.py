from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0003_worker_copied_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="workermodel",
            name="shape",
            field=models.JSONField(default=None, null=True),
        ),
    ]
