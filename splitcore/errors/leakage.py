"""CL-155x, CL-156x: measuring what leaks, and the attacks that measure it."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1550": ErrorHelp(
        "Too few rows for this audit",
        "A share of tokens that was read from so few rows would say little, and nothing of rows that were not among "
        "them. Rows with the same text count once.",
        "Add rows, or choose the quick audit, which needs fewer.",
    ),
    "CL-1551": ErrorHelp(
        "The attacker's process ended unexpectedly",
        "Attacks run in a process of their own. It ended before it had answered, for example for want of memory.",
        "Its last lines are in job.log on the worker, or on the command line. Then start the audit again.",
    ),
    "CL-1553": ErrorHelp(
        "The site doesn't allow leakage audits",
        "Its policy has `audits: forbid`.",
        "Ask the people of the site to change policy.yaml, if they want to know what leaks.",
    ),
    "CL-1554": ErrorHelp(
        "An audit needs the whole base model at the worker",
        "It trains both halves there. This worker has the base model by its manifest only, or in part.",
        "Register the base model with its weights: cutlayer worker model add FOLDER --as ID. "
        "Then start the audit again.",
    ),
    "CL-1555": ErrorHelp(
        "This audit can't be started",
        "An audit needs a run that has started, whose rows are on the worker. One part isn't audited without end.",
        "Start the run first. For a configuration that was never started, use cutlayer audit on the worker's machine.",
    ),
    "CL-1556": ErrorHelp(
        "Too many audits of this dataset in a day",
        "Each audit's figures tell a little of the rows, and any number of them would tell of single rows.",
        "Wait a day, or use cutlayer audit on the worker's machine, which tells the hub nothing.",
    ),
    "CL-1557": ErrorHelp(
        "No such audit is under way",
        "It has ended already, or it was cancelled before.",
        "Reload the page: its result is there, if it gave one.",
    ),
    "CL-1552": ErrorHelp(
        "The audit failed its controls, so it says nothing",
        "Either the attacks couldn't read the text where nothing protects it, or their result on other records varies "
        "too much to be compared with.",
        "Don't read its figures as a sign that the text is safe. Audit more rows; if it still fails, report the model.",
    ),
    "CL-1560": ErrorHelp(
        "The attack has too little text to learn from",
        "It learns from text of the observer's own, and was given fewer than two rows of it.",
        "Audit more rows: those that aren't attacked serve as the observer's text.",
    ),
    "CL-1562": ErrorHelp(
        "The attack on uploads doesn't fit this model",
        "What enters the first layer's adapters depends on more than the token, for example on its position.",
        "Uploads of such a model aren't measured. Assume that they tell which tokens a batch has.",
    ),
    "CL-1561": ErrorHelp(
        "The attack has no known rows to start from",
        "It compares rows that the observer knows with what crossed of them, and knows none.",
        "Choose how many of the attacked rows the observer is assumed to know.",
    ),
}
