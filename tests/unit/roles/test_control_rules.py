"""The pipeline's rules, while the control plane is being written."""

from pathlib import Path

import pytest

from headrace.audience.definition import Audience
from headrace.audience.service import Audiences
from headrace.model import Sandbox
from headrace.roles.control_rules import ControlRules
from tests.unit.roles.home_world import HomeWorld

_SWISS = 'homeAddress.countryCode = "CH"'


def test_an_audience_made_while_the_rules_are_read_is_evaluated_after_the_next_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = HomeWorld.opened(tmp_path)
    home = world.home
    rules = ControlRules(
        sandboxes=home.sandboxes,
        catalog=home.catalog,
        schemas=home.schemas,
        namespaces=home.namespaces,
        audiences=home.audiences,
        dataflows=home.flow_service.dataflows,
        policies=home.rules,
    )
    made: list[Audience] = []
    read = Audiences.all_streaming

    def read_and_make_another(audiences: Audiences, sandbox: Sandbox) -> list[Audience]:
        found = read(audiences, sandbox)
        if not made:
            made.append(world.audience("made meanwhile", _SWISS))
        return found

    world.audience("made before", _SWISS)
    monkeypatch.setattr(Audiences, "all_streaming", read_and_make_another)

    rules.load()
    after = rules.load()[world.sandbox.number]

    assert made[0].number in after.program.numbers
    assert made[0].number in after.versions
    world.close()
