"""CL-15xx. The life of a run."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp, ErrorRole

HELP: dict[str, ErrorHelp] = {
    "CL-1501": ErrorHelp(
        "The run can't do that in its current state",
        "A run moves through fixed states, and this action isn't possible in its current one.",
        "Reload the page to see the current state and the possible next steps.",
    ),
    "CL-1502": ErrorHelp(
        "The contract has changed",
        "The decision or message refers to an outdated contract hash.",
        "Reload the page, review the changes, and decide on the new contract.",
    ),
    "CL-1503": ErrorHelp(
        "A message belongs to an older attempt",
        "The job that sent it was replaced by a newer attempt of the same worker.",
        "Nothing is lost. The old process stops automatically. If it doesn't, stop it by hand.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1504": ErrorHelp(
        "Job no longer needed",
        "The run was stopped, has ended, or this worker's part in it is already done.",
        "No action is needed. The worker drops the job.",
    ),
    "CL-1505": ErrorHelp(
        "The halves of the run disagree",
        "The two sides have different configurations, manifests or checkpoints, or a message came out of order.",
        "Start every half from the same contract. To resume, use checkpoints of the same step.",
    ),
    "CL-1506": ErrorHelp(
        "The run didn't start in time",
        "A worker didn't start its part or reach its first step before the deadline.",
        "Find the late worker on the run's page, check it with `cutlayer worker doctor`, and clone the run.",
    ),
    "CL-1507": ErrorHelp(
        "A worker didn't confirm that it stopped",
        "The stop was sent, but the worker hasn't reported that its process ended.",
        "Ask the site to check the machine, and quarantine the worker until you know it's idle.",
    ),
    "CL-1508": ErrorHelp(
        "A site stopped its part",
        "The site's operator ended the worker's job. Every site has that right.",
        "Ask the site for the reason. Clone the run to start again.",
    ),
    "CL-1509": ErrorHelp(
        "A worker's policy refuses the contract",
        "The site's own policy file forbids something in the contract. The site has the final say.",
        "Change the named fields to what the site allows, then resubmit.",
    ),
    "CL-1510": ErrorHelp(
        "A worker stopped responding",
        "The worker sent no heartbeat for more than three intervals. Its machine, process or network is down.",
        "Check at its site that the worker is running and can reach the hub. It restarts its part automatically.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1511": ErrorHelp(
        "Queued behind another run",
        "A worker handles runs in the order in which they were started.",
        "No action is needed. The worker starts this run when its turn comes.",
    ),
    "CL-1512": ErrorHelp(
        "The run is held because a worker is in quarantine",
        "The worker's organisation suspended it, so nothing is exchanged with it. Every half was asked to pause.",
        "An administrator or compute operator of the worker's organisation can release it. The run then continues.",
    ),
    "CL-1513": ErrorHelp(
        "The attempt's number is out of bounds",
        "The worker named an attempt far above any that this hub has issued for its part of the run.",
        "Check the worker's spool. It may belong to another hub. Clone the run to start it with new ids.",
    ),
    "CL-1514": ErrorHelp(
        "A worker has admitted a different contract for this run",
        "A run has one contract. This run started with a different one, in a period that was lost when the hub was "
        "restored.",
        "Clone the run and submit the clone. It gets its own id.",
    ),
    "CL-1515": ErrorHelp(
        "Another organisation holds the run",
        "It paused or stopped the run. Its rows aren't used for training until it resumes the run itself.",
        "Ask someone at that organisation to resume the run, or clone it. A clone needs all approvals again.",
    ),
    "CL-1520": ErrorHelp(
        "The job's process was killed",
        "Something at the worker's site ended this half's process (signal 9, or its supervisor died).",
        "Ask the site's operator, then start the run again.",
        ErrorRole.RECOVERABLE,
    ),
    "CL-1521": ErrorHelp(
        "The job ran out of memory",
        "The half needed more memory than the machine or its GPU has.",
        "Lower the batch size, raise micro_batches, reduce the longest row, or use a larger machine.",
    ),
    "CL-1522": ErrorHelp(
        "Job exited without a result",
        "This half's process ended without reporting a result.",
        "Check the job's log on that worker, then start the run again.",
        ErrorRole.RECOVERABLE,
    ),
    "CL-1523": ErrorHelp(
        "The worker was shut down during the run",
        "Its operator stopped the worker while the half was running.",
        "Start the worker again. The run continues automatically. If it has ended, resume it from its page.",
        ErrorRole.RECOVERABLE,
    ),
    "CL-1524": ErrorHelp(
        "The job's description can't be used",
        "The job's folder is missing a file or contains one from another version.",
        "Update the worker, then start the run again.",
    ),
    "CL-1525": ErrorHelp(
        "The worker doesn't support this kind of job",
        "The hub requested a kind of job that needs a newer version of Cutlayer on the worker.",
        "Install the named version on the worker and restart it. Until then, other jobs continue.",
    ),
    "CL-1530": ErrorHelp(
        "Another half of the run was lost",
        "Its process ended, or its connection was lost for too long. This half shut down cleanly.",
        "Nothing saved is lost. Start the halves again. They continue from their newest common checkpoint.",
        ErrorRole.CONSEQUENCE,
    ),
    "CL-1531": ErrorHelp(
        "Too many steps in a row had NaN or infinite values",
        "Losses or gradients were repeatedly NaN or infinite, so training made no progress. None of these steps was "
        "applied.",
        "Lower the learning rate, turn on gradient clipping, or use another number format. Check the named party.",
    ),
    "CL-1532": ErrorHelp(
        "The run paused because of a NaN or infinite value",
        "It occurred in a step, which wasn't applied, or in an evaluation. Every half saved its state.",
        "Check the named party's data and the learning rate. Resume to continue with the next step.",
        ErrorRole.HOLD,
    ),
    "CL-1533": ErrorHelp(
        "The halves were restarted too often without progress",
        "A half's process kept ending before a new checkpoint was complete on every side.",
        "Find out why the process keeps ending (out of memory, or killed by the system), then resume from the "
        "checkpoints.",
    ),
    "CL-1534": ErrorHelp(
        "The run paused because an organisation was late",
        "It didn't deliver its part of a step within the schedule's deadline. Every half saved its state.",
        "Find out what delays the named organisation. Then resume, or let the run wait or continue without it.",
        ErrorRole.HOLD,
    ),
    "CL-1535": ErrorHelp(
        "Worker was absent too long",
        "The others continued, and this half missed more steps than the compute organisation keeps for late parts.",
        "Speed up the site, or let the run wait for it (Late organisation, under Several organisations).",
    ),
    "CL-1536": ErrorHelp(
        "The secret of this run's noise is damaged",
        "The file next to the half's checkpoints no longer contains the 256 bits written there.",
        "Restore it from a copy. Without it the run can't continue. A clone draws a new secret.",
    ),
    "CL-1537": ErrorHelp(
        "A value is too large for a masked sum",
        "A gradient or weight of head or tail is NaN, infinite, or not below 2^23 divided by the number of data "
        "organisations. Nothing of it was sent.",
        "Lower the learning rate. If such values are usual for this model, turn off masked sums in a new contract.",
    ),
    "CL-1538": ErrorHelp(
        "A mask key isn't the organisation's own",
        "The key that arrived for a data organisation isn't signed for this attempt by the contract's certificate. "
        "Someone between the organisations may have replaced it to read single contributions. None was sent.",
        "Don't resume the run. Compare the certificates' fingerprints with the named organisation, and ask the compute "
        "organisation and the hub's operator for the reason.",
    ),
    "CL-1539": ErrorHelp(
        "A handed-on adapter was altered on its way",
        "What arrived isn't what the organisation before has encrypted for this one in this step.",
        "Don't resume the run. Ask the compute organisation, which passes these messages on, for the reason.",
    ),
    "CL-1540": ErrorHelp(
        "The draft was changed elsewhere",
        "The form is based on an older version of the draft. Saving it would undo later changes.",
        "Compare the fields, then keep your values or use the saved ones. Nothing is overwritten until you decide.",
    ),
}
