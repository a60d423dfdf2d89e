"""Make the standard components that ship with Headrace from a copy of the public XDM sources.

Usage: ``python scripts/import_standard.py FOLDER`` where FOLDER is the directory ``components`` of github.com/adobe/xdm.

Only facts are kept: ids, names (titles), types, formats, bounds, enums with their labels, and how components refer to each
other. Descriptions, examples and editorial keys are dropped, and so is the closing of objects to prefixed names.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from headrace.schemas.components import COMMON_CONTEXT, read_components, with_dependencies

XDM = "https://ns.adobe.com/xdm/"
SHIPPED = [
    "data/record",
    "data/time-series",
    "data/adhoc",
    "context/profile",
    "context/experienceevent",
    "context/segmentdefinition",
    "context/identitymap",
    "context/profile-person-details",
    "context/profile-personal-details",
    "context/profile-work-details",
    "mixins/profile-consents",
    "context/profile-segmentation",
    "context/profile-preferences-details",
    "context/profile-test-profile",
    "mixins/profile/profile-loyalty-details",
    "context/experienceevent-loyalty-details",
    "context/experienceevent-commerce",
    "context/experienceevent-web",
    "context/experienceevent-application",
    "context/experienceevent-environment-details",
    "context/experienceevent-channel",
    "context/experienceevent-marketing",
    "context/experienceevent-directmarketing",
    "context/experienceevent-enduserids",
]
DROPPED = {
    "$schema",
    "description",
    "examples",
    "Title",
    "name",
    "auditable",
    "meta:license",
    "meta:titleId",
    "meta:titleI",
    "meta:descriptionId",
    "meta:createdDate",
    "meta:tags",
    "meta:keys",
    "meta:usereditable",
    "meta:descriptors",
}
NAMED_SCHEMAS = {"properties", "definitions", "patternProperties"}
LONGEST_LABEL = 48
TARGET = Path(__file__).parent.parent / "src" / "headrace" / "schemas" / "standard"


def facts(node: Any) -> Any:
    """Return a schema node without its texts."""
    if isinstance(node, list):
        return [facts(item) for item in node if not _closes_to_prefixes(item)]
    if not isinstance(node, dict):
        return node
    kept: dict[str, Any] = {}
    for key, value in node.items():
        if key in NAMED_SCHEMAS and isinstance(value, dict):
            kept[key] = {name: facts(schema) for name, schema in value.items()}
        elif key == "meta:enum" and isinstance(value, dict):
            kept[key] = {name: _label(name, text) for name, text in value.items()}
        elif key not in DROPPED:
            kept[key] = facts(value)
    return kept


def _closes_to_prefixes(item: Any) -> bool:
    return isinstance(item, dict) and str(item.get("$ref", "")).startswith(COMMON_CONTEXT)


def _label(name: str, text: Any) -> str:
    is_label = isinstance(text, str) and len(text) <= LONGEST_LABEL and not text.endswith(".")
    return text if is_label else name


def main(folder: Path) -> None:
    """Write one compact file a component."""
    components = {
        identifier: (kind, facts(document))
        for identifier, (kind, document) in read_components(folder).items()
        if identifier != COMMON_CONTEXT
    }
    chosen = with_dependencies([XDM + name for name in SHIPPED], components)
    for kind in ("behaviors", "classes", "mixins", "datatypes"):
        shutil.rmtree(TARGET / kind, ignore_errors=True)
        (TARGET / kind).mkdir(parents=True)
    for identifier, (kind, document) in chosen.items():
        name = identifier.partition("//")[2].removeprefix("ns.adobe.com/").replace("/", ".").removeprefix("xdm.")
        text = json.dumps(document, indent=None, separators=(",", ":"), ensure_ascii=False)
        (TARGET / kind / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(chosen)} components written to {TARGET}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
