from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("fleet", "0004_workermodel_shape"),
    ]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="protocol",
            field=models.PositiveIntegerField(default=0),
        ),
    ]
