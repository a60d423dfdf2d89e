"""Schemas that tests of other services stand on."""

import httpx

REGISTRY = "/data/foundation/schemaregistry/tenant"
PROFILE_CLASS = "https://ns.adobe.com/xdm/context/profile"
EVENT_CLASS = "https://ns.adobe.com/xdm/context/experienceevent"


def make_schema(client: httpx.Client, title: str, *, is_event: bool = False, is_profile_enabled: bool = True) -> str:
    """Create a schema with an identity map and return its ``$id``."""
    parts = [EVENT_CLASS if is_event else PROFILE_CLASS, "https://ns.adobe.com/xdm/context/identitymap"]
    body = {
        "title": title,
        "type": "object",
        "allOf": [{"$ref": part} for part in parts],
    }
    answer = client.post(f"{REGISTRY}/schemas", json=body)
    assert answer.status_code == 201, answer.text
    schema_id = str(answer.json()["$id"])
    if is_profile_enabled:
        path = f"{REGISTRY}/schemas/{schema_id.replace(':', '%3A').replace('/', '%2F')}"
        patch = [{"op": "add", "path": "/meta:immutableTags", "value": ["union"]}]
        enabled = client.patch(path, json=patch)
        assert enabled.status_code == 200, enabled.text
    return schema_id


def make_dataset(client: httpx.Client, name: str, schema_id: str, *, is_profile_enabled: bool = True) -> str:
    """Create a dataset and return its id."""
    tags = {"unifiedProfile": ["enabled:true"], "unifiedIdentity": ["enabled:true"]} if is_profile_enabled else {}
    body = {"name": name, "schemaRef": {"id": schema_id, "contentType": "application/vnd.adobe.xed+json;version=1"}, "tags": tags}
    answer = client.post("/data/foundation/catalog/dataSets", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()[0]).removeprefix("@/dataSets/")
