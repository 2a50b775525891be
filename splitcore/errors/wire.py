"""CL-13xx. The wire between the halves."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp, ErrorRole

HELP: dict[str, ErrorHelp] = {
    "CL-1301": ErrorHelp(
        "A frame couldn't be read",
        "The bytes aren't a Cutlayer frame, or the header is malformed.",
        "Check that the address is the other half's tensor port and that no proxy alters the stream.",
    ),
    "CL-1302": ErrorHelp(
        "The two workers use different versions of the wire format",
        "The sites run different versions of Cutlayer.",
        "Install the same version at both sites, then start the run again.",
    ),
    "CL-1303": ErrorHelp(
        "A frame arrived damaged",
        "The frame is shorter than announced, or its checksum doesn't match.",
        "Frames are resent automatically. If this happens often, check the network between the sites.",
    ),
    "CL-1304": ErrorHelp(
        "A message is larger than the contract allows",
        "A tensor or header exceeds the limit set by the run's batch size, length and width.",
        "Lower the batch size or the maximum length, or raise the message limit in a new contract.",
    ),
    "CL-1305": ErrorHelp(
        "A message belongs to another run or participant",
        "The ids in the message don't match this connection.",
        "Start the run again. If it happens again, ask the other site which run its worker is working on.",
    ),
    "CL-1306": ErrorHelp(
        "A message belongs to an older attempt",
        "The sender's job was replaced by a newer attempt but is still running.",
        "Nothing is lost. The old process stops automatically. If it doesn't, stop it by hand.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1307": ErrorHelp(
        "A message of this kind isn't allowed here",
        "The other half sent a message or field that isn't part of the protocol at this point.",
        "Install the same version at both sites. If it happens again, don't trust the other site's worker.",
    ),
    "CL-1308": ErrorHelp(
        "A tensor uses a codec or number type that wasn't agreed",
        "The other half encoded a tensor in a way that the contract doesn't allow.",
        "Check that both workers have the same contract and version.",
    ),
    "CL-1309": ErrorHelp(
        "A tensor has the wrong shape",
        "A tensor's name or shape doesn't match the contract.",
        "Check that both workers have the same model and contract.",
    ),
    "CL-1310": ErrorHelp(
        "A tensor has the wrong number of bytes",
        "The number of bytes doesn't match the shape and codec in the header.",
        "Install the same version at both sites.",
    ),
    "CL-1311": ErrorHelp(
        "A tensor contains impossible values",
        "A value is NaN, infinite or beyond the contract's bound. Training with it would ruin the weights.",
        "Lower the learning rate or turn on gradient clipping. Models in fp16 may need bf16 or fp32.",
    ),
    "CL-1312": ErrorHelp(
        "The other half sent more than the agreed window",
        "More messages were in flight than flow control allows.",
        "Install the same version at both sites. If it happens again, don't trust the other site's worker.",
    ),
    "CL-1313": ErrorHelp(
        "The two sides have different cached activations",
        "A message refers to activations that both sides cache, but the two copies differ.",
        "Start the run again from its last checkpoint. If it happens again, report it.",
    ),
    "CL-1314": ErrorHelp(
        "A half tried to send something undeclared",
        "A message, tensor or field of this half isn't part of any flow declared for the run. It wasn't sent.",
        "This is a bug. Update Cutlayer at this site, and report the bug with the kind of message.",
    ),
    "CL-1320": ErrorHelp(
        "The compute site refused the connection",
        "Nothing is listening at the compute worker's address and port, or a firewall rejects the connection.",
        "Check that the compute worker is running and that its ports are open to this site.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1321": ErrorHelp(
        "The compute site didn't answer in time",
        "The address can't be resolved or reached, or a firewall drops the packets.",
        "Check the compute worker's advertised host name, and that its ports are open to this site.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1322": ErrorHelp(
        "The compute site showed a certificate that isn't in the contract",
        "Another service is at that address, something intercepts TLS, or the worker was enrolled again.",
        "Compare the fingerprint with the compute organisation. If there's a good reason for the change, make a new "
        "contract.",
    ),
    "CL-1323": ErrorHelp(
        "This worker's certificate isn't in the contract",
        "The other half rejected the certificate.",
        "Check whether the worker was enrolled again since the contract was made. If so, make a new contract.",
    ),
    "CL-1324": ErrorHelp(
        "The TLS handshake failed",
        "The service doesn't support TLS 1.2 or newer, or something in between alters the traffic.",
        "Check that the address is the compute worker's tensor port and that no proxy inspects the connection.",
    ),
    "CL-1325": ErrorHelp(
        "No port in the configured range is free",
        "Other processes use every port in the compute worker's range.",
        "Widen the port range in the worker's settings, or stop the programs that use the ports.",
    ),
    "CL-1326": ErrorHelp(
        "The connection between the halves was lost",
        "It couldn't be re-established within the configured time.",
        "Check the network and the other site's worker. The run can be resumed from its checkpoint.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1327": ErrorHelp(
        "The other half didn't answer in time",
        "The connection is up, but the expected message didn't arrive before the deadline.",
        "Check the run's timeline for what the other half is doing. Raise the deadline if its hardware is slow.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1328": ErrorHelp(
        "The other half closed the connection",
        "The other half's job ended or was stopped before this one.",
        "Check the run's timeline for why the other half ended.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1329": ErrorHelp(
        "The other half reported an error",
        "The other half stopped because of a problem at its site.",
        "Check the run's timeline for the other worker's report.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1330": ErrorHelp(
        "The worker's certificate can't be used",
        "The key or certificate file is missing, unreadable, expired or not P-256.",
        "Enrol the worker again, which creates a new key and certificate.",
    ),
    "CL-1331": ErrorHelp(
        "The other half stopped accepting messages",
        "The window of messages in flight stayed full until the deadline.",
        "Check the run's timeline for what the other half is doing. Raise the deadline if its hardware is slow.",
        ErrorRole.CONSEQUENCE,
    ),
}
