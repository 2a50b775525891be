"""CL-15xx. The life of a run."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
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
    "CL-1505": ErrorHelp(
        "The halves of the run disagree",
        "The two sides hold different configurations, manifests or checkpoints, or a message came out of turn.",
        "Start every half from the same contract; to resume, use the checkpoints of the same step.",
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
    "CL-1510": ErrorHelp(
        "A worker went silent",
        "No beat came from the worker for more than three intervals: its machine, process or network is down.",
        "Check at its site that the worker runs and reaches the hub; it takes up its part by itself when it is back.",
    ),
    "CL-1511": ErrorHelp(
        "Another run is before this one at the worker",
        "A worker takes up its runs in the order in which they were started.",
        "Nothing is to be done: the worker takes this run up when its turn comes.",
    ),
    "CL-1512": ErrorHelp(
        "The run is held because a worker is in quarantine",
        "The worker's organisation suspects it, so nothing is exchanged with it: every half was asked to pause.",
        "An administrator or compute operator of the worker's organisation can release it; the run then goes on.",
    ),
    "CL-1513": ErrorHelp(
        "The attempt's number is out of bounds",
        "The worker named an attempt far above all that this hub has handed out for its part of the run.",
        "Check the worker's spool: it may belong to another hub. Clone the run to start it under new ids.",
    ),
    "CL-1514": ErrorHelp(
        "A worker has admitted another contract under this run",
        "A run has one contract. In a time that the hub lost with a restore, this run had another one and started.",
        "Clone the run and submit the clone: it has an id of its own.",
    ),
    "CL-1515": ErrorHelp(
        "Another organisation holds the run",
        "It paused or stopped the run, so none of its rows are trained on until it lets the run go on itself.",
        "Ask somebody of that organisation to resume the run, or clone it: a clone asks for every approval anew.",
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
    "CL-1530": ErrorHelp(
        "Another half of the run was lost",
        "Its process ended, or its connection stayed away for longer than the run waits; this half stopped in order.",
        "Nothing that was saved is lost: start the halves again, and they go on from their newest common checkpoint.",
    ),
    "CL-1531": ErrorHelp(
        "Too many steps in a row had values that are not finite",
        "A loss or gradient was NaN or infinite again and again, so training no longer moves; none was applied.",
        "Lower the learning rate, switch on gradient clipping, or compute in another number format; see which party.",
    ),
    "CL-1532": ErrorHelp(
        "The run paused because a value was not finite",
        "A value was NaN or infinite in a step, applied nowhere then, or in an evaluation. Every half saved its state.",
        "Look at the named party's data and the learning rate; resume to go on with the next step.",
    ),
    "CL-1533": ErrorHelp(
        "The halves were started again too often without progress",
        "A half's process ended again and again before a new checkpoint was complete on every side.",
        "See why that process ends (memory, a kill by the system); then resume from the checkpoints.",
    ),
    "CL-1534": ErrorHelp(
        "The run paused because an organisation was late",
        "It did not bring its part of a step within the deadline of the run's schedule. Every half saved its state.",
        "See what holds the named organisation up; resume to go on, or let the run wait or continue without it.",
    ),
    "CL-1535": ErrorHelp(
        "This half was away from its run for too long",
        "The others went on without it, and what it missed is more than the compute organisation keeps for its return.",
        "Make the site faster, or let the run wait for it (Late organisation, under Several organisations).",
    ),
    "CL-1540": ErrorHelp(
        "Somebody else changed the draft meanwhile",
        "The form was filled from an older version of the draft, and saving it would undo what was changed since.",
        "Compare the fields that differ; keep your values or take the saved ones. Nothing is overwritten until then.",
    ),
}
