"""What is written into a contract, and shown to the people of a site: complete, and within a contract's bounds."""

from __future__ import annotations

from splitcore.config import RunConfig
from splitcore.flows import Cast, flows_of
from splitcore.flows.sentences import sentences_of
from splitcore.flows.tests.combinations import runs

MOST, LONGEST = 32, 600  # sentences of a contract, characters of each: bounds of workers/contracts/document.py
MODEL = {"model": {"name_or_path": "m"}}


def test_every_runs_sentences_fit_into_a_contract() -> None:
    for run in runs():
        names = {
            party: f"Hospital of Sankt {number:02d} am Langen Grund" for number, party in enumerate(run.cast.clients)
        }
        lines = sentences_of(run.config, Cast(names, "Rechenzentrum der Universitätsmedizin", prompts=True))
        assert len(lines) <= MOST
        assert max(map(len, lines)) <= LONGEST


def test_several_defences_are_named_or_counted_within_a_contracts_bounds() -> None:
    names = ["nopeek", "adversarial", "token_mixup", "bottleneck", "gaussian"]
    organisations = {party: f"Hospital of Sankt {party} am Langen Grund" for party in ("aa", "bb")}
    cast = Cast(organisations, "Rechenzentrum der Universitätsmedizin", prompts=True)
    for chosen, said in ((["nopeek", "gaussian"], "nopeek, gaussian"), (names, f"{len(names)} defences, see the con")):
        lines = sentences_of(RunConfig.parse({**MODEL, "privacy": {"defences": chosen}}), cast)
        assert [said in line for line in lines].count(True) == 1
        assert max(map(len, lines)) <= LONGEST


def test_a_hundred_organisations_are_counted_not_cut_off() -> None:
    cast = Cast({f"p{number}": f"Organisation {number} {'x' * 100}" for number in range(63)}, "G" * 120)
    lines = sentences_of(RunConfig.parse(MODEL), cast)
    assert lines[0].startswith("Each of the 63 data organisations → ")
    assert max(map(len, lines)) <= LONGEST


def test_every_flow_is_in_a_sentence_with_its_form_and_what_it_tells() -> None:
    for run in runs()[::17]:
        text = " ".join(sentences_of(run.config, run.cast))
        for flow in flows_of(run.config, run.cast):
            assert all(words in text for words in (flow.what, flow.form, flow.when, flow.kept))
            assert all(reveal.how in text for reveal in flow.reveals)


def test_organisations_are_named_once_each_and_the_compute_organisation_by_its_name() -> None:
    cast = Cast({"a": "Clinic", "b": "Clinic", "c": "Bank"}, "Grid")
    first = sentences_of(RunConfig.parse(MODEL), cast)[0]
    assert first.startswith("Clinic and Bank → Grid: activations at the first cut (after the first 2 layers, as bf16)")
