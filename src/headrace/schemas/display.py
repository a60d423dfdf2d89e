"""Display texts and suggested values that a descriptor gives a field of a schema."""

from collections.abc import Mapping
from typing import Any

from headrace.schemas.descriptor import Descriptor
from headrace.schemas.paths import path_of, replaced_at

_EXCLUDED_KEYS = ("xdm:excludeMetaEnum", "meta:excludeMetaEnum")


def with_display(form: Mapping[str, Any], descriptor: Descriptor) -> dict[str, Any]:
    """Return a full form with the title, description and suggestions of an ``alternateDisplayInfo`` descriptor."""

    def shown(node: Mapping[str, Any]) -> Mapping[str, Any]:
        changed = dict(node)
        for key in ("title", "description"):
            if text := _localised(descriptor.body.get(f"xdm:{key}")):
                changed[key] = text
        suggestions = _suggestions(node.get("meta:enum", {}), descriptor.body)
        if suggestions:
            changed["meta:enum"] = suggestions
        return changed

    return replaced_at(form, path_of(descriptor.pointer), shown)


def _suggestions(present: Any, body: Mapping[str, Any]) -> dict[str, Any]:
    excluded = {(key, _localised(label)) for name in _EXCLUDED_KEYS for key, label in body.get(name, {}).items() if name in body}
    kept: Mapping[str, Any] = present if isinstance(present, Mapping) else {}
    added = {key: _localised(label) or key for key, label in body.get("meta:enum", {}).items()}
    return {key: label for key, label in kept.items() if (key, label) not in excluded} | added


def _localised(text: Any) -> str:
    """Return a text given plainly or as a map of locales; English is preferred."""
    if isinstance(text, Mapping):
        text = text.get("en_us") or next(iter(text.values()), "")
    return text if isinstance(text, str) else ""
