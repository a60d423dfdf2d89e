"""Puts the pipeline together."""

from headrace.app.home import Home
from headrace.roles.control_rules import ControlRules
from headrace.roles.pipeline import Pipeline
from headrace.storage.state.rocksdb import RocksState

BELLS = ("records", "control", "clock")


def make(home: Home) -> Pipeline:
    """Return the pipeline role over the stores of a home folder."""
    rules = ControlRules(
        sandboxes=home.sandboxes,
        catalog=home.catalog,
        schemas=home.schemas,
        namespaces=home.namespaces,
        audiences=home.audiences,
        dataflows=home.flow_service.dataflows,
        policies=home.rules,
    )
    state = RocksState(home.path / "state")
    return Pipeline(state, home.log, rules, home.clock, home.path, max_records=home.settings.micro_batch_records)
