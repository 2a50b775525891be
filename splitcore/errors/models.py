"""CL-11xx. Base models, splitting and adapters."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1101": ErrorHelp(
        "The model can't be split",
        "The architecture has no list of decoder layers to cut, or it failed the admission test.",
        "Choose a decoder model of a type listed in docs/models.md.",
    ),
    "CL-1103": ErrorHelp(
        "The model's files can't be used",
        "A file of the base model is missing, damaged, or in a format that could run code. Only safetensors files are "
        "read.",
        "Use a folder or an id with config.json, a tokenizer and *.safetensors weights.",
    ),
    "CL-1104": ErrorHelp(
        "The base model differs from the agreed one",
        "The configuration, the tokenizer or a tensor differs from the manifest in the contract.",
        "Register the model again from its pinned revision. Don't train with files from elsewhere.",
    ),
    "CL-1105": ErrorHelp(
        "The adapter doesn't fit the model",
        "A target module doesn't exist in the model, or its type isn't supported by LoRA segments.",
        "Choose all-linear, or name linear modules of the model's decoder layers.",
    ),
    "CL-1106": ErrorHelp(
        "The adapter's parts don't fit together",
        "A part is missing, overlaps another, has the wrong shape, or contains NaN or infinite values.",
        "Nothing was released. Check the run's events for the first failure, then run it again.",
    ),
    "CL-1107": ErrorHelp(
        "The folder for the merged model is in use",
        "The merged model needs a new or empty folder, so that nothing is overwritten.",
        "Choose another folder, or empty this one.",
    ),
    "CL-1108": ErrorHelp(
        "This attack doesn't know how the model ends",
        "The attack on labels needs a final norm (RMSNorm or LayerNorm) followed by one matrix. The model has others.",
        "Take this channel as not measured, or audit a model of another type.",
    ),
    "CL-1109": ErrorHelp(
        "The model can't tell labels apart",
        "The model's type has no classifier that ends in one matrix named score, on the same layers as its decoder.",
        "Choose a decoder such as Llama, Qwen, Mistral, Gemma, Phi or GPT-2, or set the task to text.",
    ),
    "CL-1120": ErrorHelp(
        "The base model isn't registered on this worker",
        "The contract names a model manifest that isn't mapped to a folder on this worker.",
        "Run `cutlayer worker model add ID|FOLDER` at that site. `cutlayer worker model list` shows what is "
        "registered.",
    ),
    "CL-1121": ErrorHelp(
        "The base model couldn't be downloaded",
        "The model's repository can't be reached, doesn't exist, or requires a token that this site doesn't have.",
        "Set HF_TOKEN at this site, or download the model yourself and register its folder.",
    ),
    "CL-1122": ErrorHelp(
        "A folder needs the base model's public id",
        "Runs name their base model by an id of the form owner/name, but this folder has none.",
        "Add the id that the other sites use: `cutlayer worker model add FOLDER --as owner/name`.",
    ),
}
