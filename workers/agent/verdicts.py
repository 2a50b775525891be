"""What this site says of the contracts that the hub shows it, and what it asks its people."""

from __future__ import annotations

import logging
from collections.abc import Collection

from workers import policy_review
from workers.contracts import Assignment, ContractDocument, PolicyVerdict
from workers.hub import HubClient, HubError
from workers.jobs.kinds.registry import ALONE
from workers.outbox.questions import Question, Questions
from workers.outbox.spool import Spool
from workers.policy_review import Review, Site, other_contract, other_participant
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

log = logging.getLogger(__name__)


class Verdicts:
    """Reviews contracts and tells the hub the outcome, once for each that differs."""

    def __init__(self, home: WorkerHome, config: WorkerConfig, spool: Spool, hub: HubClient) -> None:
        self._home, self._config, self._spool, self._hub = home, config, spool, hub
        self._told: dict[tuple[str, str], PolicyVerdict] = {}  # (participant, contract) → the verdict that the hub has
        self._questions = Questions(home.spool_file)

    def judge(self, assignment: Assignment) -> None:
        """Tell the hub what the site says of a contract."""
        self.tell(self.review(assignment))

    def tell(self, found: Review) -> None:
        """Once for each outcome: it changes when the operator trusts a certificate or edits the policy."""
        verdict = found.verdict()
        key = (verdict.participant_id, verdict.contract_hash)
        if self._told.get(key) == verdict:
            return
        for refusal in verdict.refusals:
            log.warning("refused run %s: %s: %s", found.assignment.run_id, refusal.field, refusal.message)
        try:
            self._hub.post(f"/runs/{found.assignment.run_id}/verdict", verdict)
        except HubError as error:
            if error.transient:
                raise
            log.warning("the hub rejected the verdict on %s: %s", found.assignment.run_id, error.code)
        self._told[key] = verdict

    def review(self, assignment: Assignment, trust: TrustBook | None = None) -> Review:
        """The site's whole check, as its files are now, and the bond to the contract that was admitted before."""
        admitted = self._spool.admitted_contract(assignment.run_id, but=ALONE)
        if admitted is not None and admitted != assignment.contract_hash:
            return other_contract(assignment)
        taken = self._spool.admitted_participant(assignment.contract_hash, assignment.party, but=ALONE)
        if taken not in (None, assignment.participant_id):
            return other_participant(assignment)
        found = policy_review.review(assignment, Site.load(self._home, self._config, trust=trust))
        if found.contract is not None and assignment.kind not in ALONE:
            self._questions.asked(assignment.run_id, _questions(found, found.contract))
        return found

    def keep_asking(self, run_ids: Collection[str]) -> None:
        """Ask about these runs alone; what was asked about others is withdrawn."""
        self._questions.keep_asking(set(run_ids))


def _questions(found: Review, contract: ContractDocument) -> list[Question]:
    """What a person has to decide, on the worker's own page or by `cutlayer worker approve` and `trust`."""
    questions = [
        Question(
            "certificate",
            part.fingerprint,
            f"{part.worker} of {part.organisation}, for the run {contract.run_name}",
            part.role,
        )
        for part in found.untrusted
    ]
    if found.waits:
        digest, text = found.assignment.contract_hash, found.assignment.contract
        questions.append(Question("contract", digest, contract.run_name, text))
    return questions
