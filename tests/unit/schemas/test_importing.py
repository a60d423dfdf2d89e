import json
from pathlib import Path
from typing import Any

import pytest

from headrace.model import Sandbox
from headrace.schemas import SchemaRegistry
from headrace.schemas.actor import SYSTEM
from headrace.schemas.errors import BreakingChange, ImportRefused
from headrace.schemas.importing import import_components
from tests.unit.schemas.samples import PERSON_DETAILS, schema

TOY = "https://ns.adobe.com/xdm/context/toy"


def toy(**fields: Any) -> dict[str, Any]:
    return {
        "$id": TOY,
        "$schema": "http://json-schema.org/draft-06/schema#",
        "title": "Toy Details",
        "type": "object",
        "meta:intendedToExtend": ["https://ns.adobe.com/xdm/context/profile"],
        "definitions": {"toy": {"properties": fields}},
        "allOf": [{"$ref": "https://ns.adobe.com/xdm/common/extensible#/definitions/@context"}, {"$ref": "#/definitions/toy"}],
    }


def write(folder: Path, *documents: dict[str, Any]) -> Path:
    for old in folder.rglob("*.schema.json"):
        old.unlink()
    (folder / "fieldgroups").mkdir(parents=True, exist_ok=True)
    for document in documents:
        name = document["$id"].rpartition("/")[2]
        (folder / "fieldgroups" / f"{name}.schema.json").write_text(json.dumps(document))
    return folder


def test_repeated_import_versions_what_changed(registry: SchemaRegistry, sandbox: Sandbox, tmp_path: Path) -> None:
    other = {**toy(), "$id": TOY + "s", "title": "Toys"}
    folder = write(tmp_path / "xdm", toy(**{"xdm:color": {"type": "string"}}), other)
    first = import_components(registry, folder, [sandbox])
    assert set(first.added) == {TOY, TOY + "s"}
    assert "color" in registry.full_form(sandbox, TOY)["properties"]
    assert import_components(registry, folder, [sandbox]).unchanged == 2
    write(folder, toy(**{"xdm:color": {"type": "string"}, "xdm:size": {"type": "integer"}}))
    report = import_components(registry, folder, [sandbox])
    assert (report.changed, report.deprecated) == ((TOY,), (TOY + "s",))
    library = registry.library(sandbox)
    assert library.resource(TOY).version == "1.1"
    assert library.resource(TOY + "s").is_deprecated
    assert library.resource(TOY).container == "global"


def test_import_that_breaks_a_schema_in_use_is_refused(registry: SchemaRegistry, sandbox: Sandbox, tmp_path: Path) -> None:
    folder = write(tmp_path / "xdm", toy(**{"xdm:color": {"type": "string"}}))
    import_components(registry, folder, [sandbox])
    made = registry.resources.create(sandbox, "schemas", schema("S", TOY), SYSTEM)
    registry.connect(is_schema_in_use=lambda _, schema_id: schema_id == made.id)
    write(folder, toy(**{"xdm:color": {"type": "integer"}}))
    with pytest.raises(BreakingChange):
        import_components(registry, folder, [sandbox])
    assert registry.full_form(sandbox, made.id)["properties"]["color"]["type"] == "string"


def test_malformed_folder_is_refused(registry: SchemaRegistry, sandbox: Sandbox, tmp_path: Path) -> None:
    with pytest.raises(ImportRefused):
        import_components(registry, tmp_path, [sandbox])
    broken = toy()
    broken["allOf"].append({"$ref": "https://ns.adobe.com/xdm/none"})
    with pytest.raises(ImportRefused, match="no file defines"):
        import_components(registry, write(tmp_path / "xdm", broken), [sandbox])


def test_the_whole_public_library_can_be_imported(registry: SchemaRegistry, sandbox: Sandbox, shared: Path) -> None:
    before = set(registry.full_form(sandbox, PERSON_DETAILS)["properties"]["person"]["properties"])
    report = import_components(registry, shared / "xdm" / "components", [sandbox])
    assert len(report.added) == 437
    assert set(registry.full_form(sandbox, PERSON_DETAILS)["properties"]["person"]["properties"]) == before
    assert registry.full_form(sandbox, "_xdm.mixins.profile-consents")["properties"]["consents"]
