"""CL-13xx. The wire between the halves."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
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
    "CL-1313": ErrorHelp(
        "The two sides remember different activations",
        "A message builds on what both sides keep of earlier activations, and the two copies are not the same.",
        "Start the run again from its last checkpoint; report it if it happens again.",
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
}
