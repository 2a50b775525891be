"""CL-12xx. Rows, files and datasets."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1201": ErrorHelp(
        "A row has an unsupported format",
        "A row needs prompt and completion, or messages, or text, and each must be text.",
        "Map the columns, or correct the row.",
    ),
    "CL-1202": ErrorHelp(
        "A row has an empty target",
        "Nothing follows the prompt, so there is nothing to learn.",
        "Fill in the completion, or remove the row.",
    ),
    "CL-1203": ErrorHelp(
        "No target is left in the rows",
        "In every row, the prompt alone fills the longest row, so nothing is left to learn. Where only some rows are "
        "like this, they are left out and counted.",
        "Increase the longest row (training.max_length), or shorten the prompts.",
    ),
    "CL-1204": ErrorHelp(
        "The tokenizer has no chat template",
        "The 'chat' template uses the tokenizer's chat template, but this base model doesn't have one.",
        "Choose the 'plain' template, or an instruction-tuned base model.",
    ),
    "CL-1205": ErrorHelp(
        "There are no rows to train on",
        "A data organisation's dataset is empty, or has fewer rows than micro-batches.",
        "Add rows to the dataset.",
    ),
    "CL-1210": ErrorHelp(
        "This file type isn't supported",
        "The file isn't JSON Lines, CSV or Parquet, or its content doesn't match its name.",
        "Save the data as .jsonl, .csv or .parquet and add that file.",
    ),
    "CL-1211": ErrorHelp(
        "The file isn't valid UTF-8",
        "A line contains bytes that aren't UTF-8 text.",
        "Convert the file to UTF-8 (for example with iconv) and add it again.",
    ),
    "CL-1212": ErrorHelp(
        "A line is too long",
        "A single line exceeds the limit for one row.",
        "Put each row on its own line. A row can have at most 8 MiB.",
    ),
    "CL-1213": ErrorHelp(
        "A line can't be read",
        "The line isn't a JSON object. In JSON Lines, each row is one object on its own line.",
        "Correct the named line and add the file again, or continue with the good rows.",
    ),
    "CL-1214": ErrorHelp(
        "A row has an empty target",
        "The row's completion is empty or missing, so there is nothing to learn.",
        "Fill in the completion and add the file again, or continue with the good rows.",
    ),
    "CL-1215": ErrorHelp(
        "The columns need a mapping",
        "The file has none of the known column sets: prompt and completion, messages, or text.",
        "Select the columns for prompt and completion.",
    ),
    "CL-1216": ErrorHelp(
        "The dataset has no usable rows",
        "No row passed the checks.",
        "Check the report of bad rows, correct the file and add it again.",
    ),
    "CL-1217": ErrorHelp(
        "The two files have different columns",
        "The held-out file's columns differ from the training file's.",
        "Give both files the same columns, or one mapping that fits both.",
    ),
    "CL-1218": ErrorHelp(
        "The dataset's name can't be used",
        "The name contains characters that aren't allowed, or is too long.",
        "Use letters, digits, spaces, dots, dashes and underscores, at most 80 characters.",
    ),
    "CL-1219": ErrorHelp(
        "The disk is full",
        "The worker's disk doesn't have enough free space for this file. Nothing was lost.",
        "Free some space on the worker's disk, then continue. An upload resumes where it stopped.",
    ),
    "CL-1220": ErrorHelp(
        "The worker's dataset quota is used up",
        "The datasets on this worker would exceed its operator's quota.",
        "Delete old datasets, or raise CUTLAYER_DATASET_QUOTA_BYTES on the worker.",
    ),
    "CL-1221": ErrorHelp(
        "The upload is out of sequence",
        "A chunk doesn't start where the previous one ended.",
        "Reload the page. The upload continues from the right position.",
    ),
    "CL-1222": ErrorHelp(
        "A chunk arrived damaged",
        "The chunk's checksum doesn't match the announced one.",
        "The page resends the chunk automatically. If this recurs, check the network.",
    ),
    "CL-1223": ErrorHelp(
        "The dataset isn't on this worker",
        "No dataset with this version and digest is stored here.",
        "Add the dataset again, or choose a version listed by the worker.",
    ),
    "CL-1224": ErrorHelp(
        "The table can't be read",
        "The CSV or Parquet file is damaged, or its layout isn't supported.",
        "Export the table again and add the new file.",
    ),
    "CL-1225": ErrorHelp(
        "The file expands too much",
        "When unpacked, the file is more than a hundred times its size on disk.",
        "If this is intended, save the rows as JSON Lines or CSV and add that file.",
    ),
    "CL-1226": ErrorHelp(
        "A column name can't be used",
        "The name starts like a spreadsheet formula (=, +, -, @), and names are shown to other organisations.",
        "Rename the column and add the file again.",
    ),
    "CL-1227": ErrorHelp(
        "Checking the file takes too much memory",
        "One of its rows, pages or columns is very large when unpacked, or it has very many rows.",
        "Split the file, or write it again with shorter rows and smaller row groups.",
    ),
    "CL-1228": ErrorHelp(
        "Checking the file took too long",
        "The check exceeded this machine's time limit.",
        "Split the file and add the parts one by one while this machine is less busy.",
    ),
    "CL-1229": ErrorHelp(
        "The file is empty",
        "It has no rows: no lines, only blank lines, or only a table header.",
        "Export the data again, check that the file has rows, and add it again.",
    ),
    "CL-1230": ErrorHelp(
        "A row has more or fewer fields than the header",
        "The character that separates the columns also appears inside a text, or in a number with a decimal comma, "
        "without quotes.",
        "Export the table with semicolons between columns, or with each text in double quotes. Then add it again.",
    ),
    "CL-1231": ErrorHelp(
        "The column names can't be sent to the hub",
        "The hub accepts at most 64 names with up to 120 characters each.",
        "Leave the names out (the checkbox in the form, or --no-columns), or export only the columns you need.",
    ),
    "CL-1232": ErrorHelp(
        "The site's key for digests is damaged",
        "keys/datasets.key no longer contains the 256 bits written there, so digests could be guessed from rows.",
        "Restore the file from a copy. Without one, delete it: new rows then get digests under a new key, the "
        "measurements counted under the old one are counted anew, and a privacy ledger written under it is refused "
        "(CL-1571), since it no longer knows which row has spent what.",
    ),
    "CL-1240": ErrorHelp(
        "A row has no label",
        "The row's label is missing or empty, so there is nothing to learn from it.",
        "Fill in the label and add the file again, or continue with the good rows.",
    ),
    "CL-1241": ErrorHelp(
        "A row's label isn't one of the run's labels",
        "The run's configuration lists the labels to tell apart, and a row has another one.",
        "Add the label to the run's labels (data.task), or correct the row.",
    ),
    "CL-1242": ErrorHelp(
        "The training rows have only one label",
        "A model that has seen a single label always answers with it, so there is nothing to tell apart.",
        "Add rows with at least one other label, or choose another column for the label.",
    ),
    "CL-1243": ErrorHelp(
        "A held-out row's label doesn't occur in training",
        "The model can't learn a label that no training row has, so the row would only measure that.",
        "Add training rows with this label and add the files again, or continue with the good rows.",
    ),
    "CL-1244": ErrorHelp(
        "There are too many labels",
        "The label column has more than 100 different values. It may contain free text or numbers.",
        "Choose another column for the label, or merge labels into at most 100.",
    ),
    "CL-1245": ErrorHelp(
        "A label's name can't be used",
        "Label names are shown to every organisation in a run: one line of at most 60 visible characters, without "
        "commas, not starting like a spreadsheet formula (=, +, -, @).",
        "Rename the label and add the file again, or continue with the good rows.",
    ),
    "CL-1246": ErrorHelp(
        "The datasets' labels don't fit the run",
        "A run that tells labels apart needs datasets with labels, and all of them must be in the run's list.",
        "Choose datasets with the same labels, or list every label under Rows (data.task.labels).",
    ),
}
