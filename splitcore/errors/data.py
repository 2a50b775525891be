"""CL-12xx. Rows, files and datasets."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1201": ErrorHelp(
        "A row has no form that can be trained on",
        "A row needs prompt and completion, or messages, or text, each as text.",
        "Map the columns, or correct the row.",
    ),
    "CL-1202": ErrorHelp(
        "A row has an empty target",
        "There is nothing after the prompt that the model could learn.",
        "Fill in the completion, or remove the row.",
    ),
    "CL-1203": ErrorHelp(
        "A row's target lies beyond the longest length",
        "The prompt alone fills the row, so that cutting it off leaves nothing to learn.",
        "Raise the longest row (training.max_length) or shorten the prompt.",
    ),
    "CL-1204": ErrorHelp(
        "The tokenizer has no chat template",
        "The template 'chat' uses the tokenizer's own, and this base model brings none.",
        "Choose the template 'plain', or an instruction-tuned base model.",
    ),
    "CL-1205": ErrorHelp(
        "There are no rows to train on",
        "The dataset of a data organisation is empty, or holds fewer rows than one micro-batch each.",
        "Add rows to the dataset.",
    ),
    "CL-1210": ErrorHelp(
        "This kind of file is not supported",
        "The file is not JSON lines, CSV or Parquet, or its content does not match its name.",
        "Save the data as .jsonl, .csv or .parquet and add that file.",
    ),
    "CL-1211": ErrorHelp(
        "The file is not valid UTF-8",
        "A line holds bytes that are not UTF-8 text.",
        "Convert the file to UTF-8 (for example with iconv) and add it again.",
    ),
    "CL-1212": ErrorHelp(
        "A line is too long",
        "A single line exceeds the limit for one row.",
        "Check that each row stands on a line of its own; one row may have at most 8 MiB.",
    ),
    "CL-1213": ErrorHelp(
        "A line cannot be read",
        "The line is not a JSON object, or a table's row does not fit its header.",
        "Correct the named line, or choose to keep the good rows only.",
    ),
    "CL-1214": ErrorHelp(
        "A row has an empty target",
        "The completion of the row is empty, so there is nothing to learn from it.",
        "Fill the completion, or choose to keep the good rows only.",
    ),
    "CL-1215": ErrorHelp(
        "The columns need a mapping",
        "No known set of columns was found: prompt and completion, messages, or text.",
        "Say which column holds the prompt and which the completion.",
    ),
    "CL-1216": ErrorHelp(
        "The dataset has no usable rows",
        "No row passed the checks.",
        "Look at the report of bad rows, correct the file and add it again.",
    ),
    "CL-1217": ErrorHelp(
        "The two files have different columns",
        "The held-out file does not have the columns of the training file.",
        "Give both files the same columns, or one mapping that fits both.",
    ),
    "CL-1218": ErrorHelp(
        "The dataset's name cannot be used",
        "The name has characters that are not allowed, or is too long.",
        "Use letters, digits, spaces, dots, dashes and underscores, at most 80 characters.",
    ),
    "CL-1219": ErrorHelp(
        "The disk is full",
        "The worker's disk has too little free space for this file. Nothing was lost.",
        "Free some space on the worker's disk and continue; an upload goes on where it stopped.",
    ),
    "CL-1220": ErrorHelp(
        "The worker's dataset quota is used up",
        "The datasets on this worker would exceed the quota that its operator set.",
        "Delete old datasets, or raise CUTLAYER_DATASET_QUOTA_BYTES on the worker.",
    ),
    "CL-1221": ErrorHelp(
        "The upload's position does not match",
        "A chunk starts where the worker does not expect it.",
        "Reload the page: the upload goes on at the right position.",
    ),
    "CL-1222": ErrorHelp(
        "A chunk arrived damaged",
        "The checksum of the chunk is not the announced one.",
        "The page sends the chunk again by itself; if it recurs, check the network.",
    ),
    "CL-1223": ErrorHelp(
        "The dataset is not on this worker",
        "No dataset with this version and digest is stored here.",
        "Add the dataset again, or choose a version that the worker lists.",
    ),
    "CL-1224": ErrorHelp(
        "The table cannot be read",
        "The CSV or Parquet file is damaged or uses a layout that cannot be read.",
        "Export the table again and add the new file.",
    ),
    "CL-1225": ErrorHelp(
        "The file would grow beyond all bounds",
        "Unpacked, the file is more than a hundred times as large as it is on the disk.",
        "If this is meant, save the rows as JSON lines or CSV and add that file.",
    ),
    "CL-1226": ErrorHelp(
        "A column's name cannot be used",
        "A column's name begins like a spreadsheet's formula (=, +, -, @), and names are shown to other organisations.",
        "Rename the column and add the file again.",
    ),
    "CL-1227": ErrorHelp(
        "The file takes more memory than a check may use",
        "One of its rows, pages or columns unpacks to very much, or it has very many rows.",
        "Split the file into several, or write it again with shorter rows and smaller row groups.",
    ),
    "CL-1228": ErrorHelp(
        "The check of the file took too long",
        "It went on for longer than a check may take on this machine.",
        "Split the file into several and add them one by one, when this machine has less to do.",
    ),
}
