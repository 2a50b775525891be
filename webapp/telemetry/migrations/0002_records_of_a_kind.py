from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("telemetry", "0001_initial")]

    operations = [
        migrations.AddIndex("record", models.Index(fields=["participant", "kind", "seq"], name="records_of_a_kind")),
    ]
