"""The numbered errors of Cutlayer: every message that a person may meet, with its cause and its remedy.

One catalogue for the library, the workers and the hub; each code has a help page at `/errors/<code>`.
Ranges: 10xx configuration, 11xx model and adapter, 12xx data, 13xx wire, 14xx worker and enrolment,
15xx run life, 16xx accounts and permissions, 17xx artefacts, 18xx resources, 19xx the hub itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorHelp:
    """What the help page of a code says."""

    title: str
    cause: str
    remedy: str


CATALOGUE: dict[str, ErrorHelp] = {
    "CL-1001": ErrorHelp(
        "The configuration is not valid",
        "A field of the run configuration is missing, unknown or outside its bounds.",
        "Correct the named field; the message says what it accepts.",
    ),
    "CL-1002": ErrorHelp(
        "The cut lies outside the model",
        "Head and tail layers together leave no layer for the body, or exceed the model's layers.",
        "Choose fewer head or tail layers: at least one layer must remain for the compute organisation.",
    ),
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
        "None of the target modules exists in the model, or one is of a kind that LoRA segments do not support.",
        "Choose all-linear, or name linear modules of the model's decoder layers.",
    ),
    "CL-1106": ErrorHelp(
        "The adapter's parts do not fit together",
        "A part is missing, overlaps another, has a wrong shape, or holds a value that is not finite.",
        "Nothing was released. Look at the run's events for the first failure and run again.",
    ),
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
    "CL-1301": ErrorHelp(
        "A frame could not be read",
        "Bytes arrived that do not have the form of a Cutlayer frame, or whose header is malformed.",
        "Check that the address is the other half's tensor port, and that no proxy changes the stream.",
    ),
    "CL-1302": ErrorHelp(
        "The two workers speak different versions of the wire format",
        "One of the sites runs another version of Cutlayer than the other.",
        "Install the same version at both sites, then start the run again.",
    ),
    "CL-1303": ErrorHelp(
        "A frame arrived damaged",
        "The frame is shorter than it says, or its checksum does not match.",
        "Frames are sent again on their own; if it happens often, check the network between the sites.",
    ),
    "CL-1304": ErrorHelp(
        "A message is larger than the contract allows",
        "A tensor or header exceeds the size that follows from the batch size, length and width of the run.",
        "Lower the batch size or the maximum length, or raise the message limit in a new contract.",
    ),
    "CL-1305": ErrorHelp(
        "A message belongs to another run or participant",
        "The ids in the message are not those of this connection.",
        "Start the run again; if it happens again, ask the other site which run its worker is in.",
    ),
    "CL-1306": ErrorHelp(
        "A message belongs to an older attempt",
        "The sender's job was replaced by a newer attempt and goes on by mistake.",
        "Nothing is lost: the old process stops by itself. Stop it by hand if it does not.",
    ),
    "CL-1307": ErrorHelp(
        "A message of this kind is not allowed here",
        "The other half sent a kind of message, or a field of one, that is not part of the protocol here.",
        "Install the same version at both sites; if it happens again, the other site's worker is not to be trusted.",
    ),
    "CL-1308": ErrorHelp(
        "A tensor uses a codec or number type that was not agreed",
        "The other half encoded a tensor otherwise than the contract says.",
        "Check that both workers hold the same contract and version.",
    ),
    "CL-1309": ErrorHelp(
        "A tensor has the wrong shape",
        "A tensor's name or shape is not the one that follows from the contract.",
        "Check that both workers hold the same model and contract.",
    ),
    "CL-1310": ErrorHelp(
        "A tensor has the wrong number of bytes",
        "The bytes that follow the header do not fit the shape and codec that it names.",
        "Install the same version at both sites.",
    ),
    "CL-1311": ErrorHelp(
        "A tensor holds impossible values",
        "A value is NaN, infinite or beyond the contract's bound; training with it would spoil the weights.",
        "Lower the learning rate or switch on gradient clipping; fp16 models may need bf16 or fp32.",
    ),
    "CL-1312": ErrorHelp(
        "The other half sent more than the agreed window",
        "More messages were in flight than the flow control allows.",
        "Install the same version at both sites; if it happens again, the other site's worker is not to be trusted.",
    ),
    "CL-1320": ErrorHelp(
        "The compute site refused the connection",
        "Nothing listens at the address and port that the compute worker reported, or a firewall rejects it.",
        "Check that the compute worker is running and that its port range is open to this site.",
    ),
    "CL-1321": ErrorHelp(
        "The compute site did not answer in time",
        "The address could not be resolved or reached, or a firewall drops the packets silently.",
        "Check the host name that the compute worker advertises, and that its port range is open to this site.",
    ),
    "CL-1322": ErrorHelp(
        "The compute site showed a certificate that is not in the contract",
        "Another service answers at that address, something intercepts TLS, or the worker was enrolled anew.",
        "Compare the fingerprint with the compute organisation's; make a new contract if it changed for a good reason.",
    ),
    "CL-1323": ErrorHelp(
        "This worker's certificate is not in the contract",
        "The other half does not know the certificate that was presented to it.",
        "Check that the worker was not enrolled anew since the contract was made; if it was, make a new contract.",
    ),
    "CL-1324": ErrorHelp(
        "The TLS handshake failed",
        "The service at the address does not speak TLS 1.2 or newer, or something on the way changes the traffic.",
        "Check that the address is the compute worker's tensor port and that no proxy inspects the connection.",
    ),
    "CL-1325": ErrorHelp(
        "No port of the configured range is free",
        "Every port of the compute worker's range is taken by another process.",
        "Widen the port range in the worker's settings, or stop what holds the ports.",
    ),
    "CL-1326": ErrorHelp(
        "The connection between the halves was lost",
        "It broke and could not be re-established within the configured time.",
        "Check the network and whether the other site's worker runs; the run can be resumed from its checkpoint.",
    ),
    "CL-1327": ErrorHelp(
        "The other half did not answer in time",
        "The connection stands, but the expected message did not come within the deadline.",
        "See in the run's timeline what the other half is doing; raise the deadline if its hardware is slow.",
    ),
    "CL-1328": ErrorHelp(
        "The other half closed the connection",
        "The other half's job ended or was stopped before this one.",
        "See in the run's timeline why the other half ended.",
    ),
    "CL-1329": ErrorHelp(
        "The other half reported an error",
        "The other half stopped because of a problem at its site.",
        "See in the run's timeline what the other organisation's worker reported.",
    ),
    "CL-1330": ErrorHelp(
        "The worker's certificate cannot be used",
        "The key or certificate file is missing, unreadable, expired, or not a P-256 one.",
        "Enrol the worker anew, which makes a new key and certificate.",
    ),
    "CL-1331": ErrorHelp(
        "The other half does not take more messages",
        "The window of messages in flight stayed full for the whole deadline.",
        "See in the run's timeline what the other half is doing; raise the deadline if its hardware is slow.",
    ),
    "CL-1401": ErrorHelp(
        "The enrolment token is not known here",
        "This hub did not issue the token, or it was copied incompletely.",
        "Copy the whole command from the hub's page Enrol a worker, and check that the address is that hub's.",
    ),
    "CL-1402": ErrorHelp(
        "The enrolment token has expired",
        "Enrolment tokens are valid for a limited time only.",
        "Make a new token on the hub's page Enrol a worker, and run the new command.",
    ),
    "CL-1403": ErrorHelp(
        "The enrolment token was already used",
        "A token enrols one worker; another machine or key has used this one.",
        "Make a new token for this machine. If nobody of yours used it, revoke the worker that did.",
    ),
    "CL-1404": ErrorHelp(
        "There is no such object for this worker",
        "The run, participant or adapter does not exist or belongs to another worker.",
        "Nothing was changed. Ask for the assignments again; they list what this worker has to do.",
    ),
    "CL-1405": ErrorHelp(
        "The enrolment token was revoked",
        "Somebody of the organisation withdrew the token before it was used.",
        "Ask an administrator of the organisation for a new token.",
    ),
    "CL-1406": ErrorHelp(
        "The clock of the worker is wrong",
        "The worker's time and the hub's differ by more than the hub allows.",
        "Set the machine's clock (for example by NTP), then try again.",
    ),
    "CL-1407": ErrorHelp(
        "Hub and worker speak different versions of the protocol",
        "One of the two runs another version of Cutlayer.",
        "Install the version of Cutlayer that the hub runs on the worker, then try again.",
    ),
    "CL-1408": ErrorHelp(
        "The worker's certificate cannot be accepted",
        "It is not a valid self-signed P-256 certificate, or it is enrolled already.",
        "Let the worker make a new key: cutlayer worker leave, then join again with a new token.",
    ),
    "CL-1409": ErrorHelp(
        "The request was sent before",
        "A signed request carries a number that may be used only once; this one was.",
        "Nothing was changed. A worker signs each attempt anew; if it did, someone replays its requests.",
    ),
    "CL-1410": ErrorHelp(
        "The request is not signed by a worker of this hub",
        "The signature headers are missing or name a worker that the hub does not know.",
        "Enrol the worker with cutlayer worker join; requests are signed by its key.",
    ),
    "CL-1411": ErrorHelp(
        "The signature of the request is wrong",
        "It was not made by the worker's key, or the request was changed on its way.",
        "Check that the worker uses the key it enrolled with, and that no proxy rewrites its requests.",
    ),
    "CL-1412": ErrorHelp(
        "The worker was revoked",
        "The organisation has revoked this worker, or it has left the hub.",
        "Ask an administrator of the organisation; a revoked worker can only join anew, with a new token and key.",
    ),
    "CL-1413": ErrorHelp(
        "The worker is quarantined",
        "The organisation has suspended this worker until it is looked at.",
        "Ask an administrator of the organisation to lift the quarantine on the worker's page.",
    ),
    "CL-1414": ErrorHelp(
        "The worker waits for confirmation",
        "Nobody has compared and confirmed the worker's fingerprint on the hub yet.",
        "Compare the fingerprint on the hub's page of this worker with the worker's own, and confirm it there.",
    ),
    "CL-1415": ErrorHelp(
        "A message does not have the agreed form",
        "A field is missing, unknown, too long or of another type than the protocol says.",
        "Install the same version of Cutlayer on the worker and the hub.",
    ),
    "CL-1416": ErrorHelp(
        "The worker's name is taken",
        "Another worker of the organisation has this name.",
        "Choose another name for the worker.",
    ),
    "CL-1417": ErrorHelp(
        "This action does not fit the worker's state",
        "The worker is not in a state in which this can be done.",
        "Reload the worker's page; it shows the state and what can be done in it.",
    ),
    "CL-1418": ErrorHelp(
        "The dataset version differs from the registered one",
        "A version of a dataset never changes; other metadata was registered under this number.",
        "Register the changed file as a new version.",
    ),
    "CL-1802": ErrorHelp(
        "A message is larger than allowed",
        "The hub takes only small messages from workers, never data.",
        "Install the same version of Cutlayer on the worker and the hub.",
    ),
    "CL-1505": ErrorHelp(
        "The halves of the run disagree",
        "The two sides hold different configurations, manifests or checkpoints, or a message came out of turn.",
        "Start every half from the same contract; to resume, use the checkpoints of the same step.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program met a condition that it has no code for.",
        "Look into the worker's local log; the class of the error and the line are there.",
    ),
}


class AppError(Exception):
    """An error that is meant to be read: a code, what happened, and what to do.

    `message` and `remedy` default to the catalogue's text. `details` is JSON-able and never holds data of a row.
    """

    def __init__(
        self, code: str, message: str | None = None, remedy: str | None = None, *, details: dict[str, Any] | None = None
    ) -> None:
        help_ = CATALOGUE[code]
        self.code = code
        self.message = message or help_.title
        self.remedy = remedy or help_.remedy
        self.details = details or {}
        super().__init__(f"{code}: {self.message} {self.remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The form in which every API, event and command prints an error."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "details": self.details}
