"""CL-11xx. Base models, splitting and adapters."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1101": ErrorHelp(
        "The model cannot be split",
        "The architecture has no list of decoder layers that can be cut, or failed the admission test.",
        "Choose a decoder whose type is listed in docs/models.md.",
    ),
    "CL-1103": ErrorHelp(
        "The model's files cannot be used",
        "A file of the base model is missing, damaged, or in a format that could run code (only safetensors is read).",
        "Give a folder or an id with config.json, a tokenizer and *.safetensors weights.",
    ),
    "CL-1104": ErrorHelp(
        "The base model is not the one that was agreed",
        "The configuration, the tokenizer or a tensor differs from the manifest that the contract names.",
        "Register the model again from its pinned revision; do not train with files of another origin.",
    ),
    "CL-1105": ErrorHelp(
        "The adapter cannot be placed",
        "A target module does not exist in the model, or is of a kind that LoRA segments do not support.",
        "Choose all-linear, or name linear modules of the model's decoder layers.",
    ),
    "CL-1106": ErrorHelp(
        "The adapter's parts do not fit together",
        "A part is missing, overlaps another, has a wrong shape, or holds a value that is not finite.",
        "Nothing was released. Look at the run's events for the first failure and run again.",
    ),
    "CL-1107": ErrorHelp(
        "The folder for the merged model is taken",
        "The merged model is written into a new or empty folder, so that nothing is overwritten.",
        "Name another folder, or empty this one.",
    ),
    "CL-1120": ErrorHelp(
        "The base model is not registered at this worker",
        "The contract names a model manifest that this worker has not mapped to a folder of its own.",
        "Run `cutlayer worker model add ID|FOLDER` at that site; `cutlayer worker model list` shows what is there.",
    ),
    "CL-1121": ErrorHelp(
        "The base model could not be downloaded",
        "The model's repository could not be reached, does not exist, or needs a token that this site lacks.",
        "Set HF_TOKEN at this site, or download the model yourself and register its folder.",
    ),
}
