"""Definitions that several tests use."""

from typing import Any

PROFILE = "https://ns.adobe.com/xdm/context/profile"
EVENT = "https://ns.adobe.com/xdm/context/experienceevent"
PERSON_DETAILS = "https://ns.adobe.com/xdm/context/profile-person-details"
CONTACT_DETAILS = "https://ns.adobe.com/xdm/context/profile-personal-details"
COMMERCE = "https://ns.adobe.com/xdm/context/experienceevent-commerce"
IDENTITY_MAP = "https://ns.adobe.com/xdm/context/identitymap"

TEXT = {"type": "string", "title": "Text"}


def group(title: str, fields: dict[str, Any], *, fits: tuple[str, ...] = (PROFILE,)) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "meta:intendedToExtend": list(fits),
        "definitions": {"customFields": {"type": "object", "properties": fields}},
        "allOf": [{"$ref": "#/definitions/customFields"}],
    }


def acme(**fields: Any) -> dict[str, Any]:
    return {"_acme": {"type": "object", "properties": fields}}


def schema(title: str, *groups: str, base: str = PROFILE, **more: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "allOf": [{"$ref": base}, *({"$ref": item} for item in groups)], **more}


def identity(schema_id: str, path: str, *, namespace: str = "CRMID", is_primary: bool = True) -> dict[str, Any]:
    return {
        "@type": "xdm:descriptorIdentity",
        "xdm:sourceSchema": schema_id,
        "xdm:sourceVersion": 1,
        "xdm:sourceProperty": path,
        "xdm:namespace": namespace,
        "xdm:property": "xdm:code",
        "xdm:isPrimary": is_primary,
    }
