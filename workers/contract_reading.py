"""The contract behind its hash, read as strictly as everything that a hub sends."""

from __future__ import annotations

import hashlib

from splitcore.bounds import json_read
from splitcore.config import RunConfig, canonical_json, config_read, written
from splitcore.config.written import schema_check
from splitcore.errors import AppError
from workers.contracts import Assignment, ContractDocument


def read_contract(assignment: Assignment) -> tuple[ContractDocument, RunConfig]:
    """The contract behind its hash. Raises AppError CL-1425, CL-1001, or CL-1008 for one of a newer hub."""
    if hashlib.sha256(assignment.contract.encode()).hexdigest() != assignment.contract_hash:
        raise AppError("CL-1425", "The contract's bytes don't match the approved hash.")
    try:
        data = json_read(assignment.contract)
        if type(schema := data.get("contract_version") if isinstance(data, dict) else None) is int:
            schema_check(schema)  # before its form, which may be newer too
        contract = ContractDocument.model_validate(data)
        is_canonical = canonical_json(data) == assignment.contract
    except (ValueError, RecursionError):  # NaN and endless nesting are no contract either
        raise AppError("CL-1425", "The contract doesn't have the expected form.") from None
    if not is_canonical:
        raise AppError("CL-1425", "The contract isn't in its canonical form.")
    if contract.run_id != assignment.run_id:
        raise AppError("CL-1425", "The contract belongs to another run.")
    config = config_read(contract.config, contract.contract_version)
    if contract.contract_version > 1 and written(config) != (contract.contract_version, contract.config):
        raise AppError("CL-1425", "The contract's configuration isn't in its normal form.")
    return contract, config
