"""Members that clients rely on: the published schemas require hardly any, so an empty object would satisfy most of them."""

from collections.abc import Mapping

from tests.conformance.wire.shapes import NUMBER, TEXT, TEXTS, JsonSchema, keyed, many, obj

_ANY: JsonSchema = {}
_OBJECT: JsonSchema = {"type": "object"}
_NUMBER_TEXT: JsonSchema = {"type": "string", "pattern": "^[0-9]+$"}

# --- Schema Registry ---

_METADATA = obj(
    **{
        "repo:createdDate": NUMBER,
        "repo:lastModifiedDate": NUMBER,
        "xdm:createdClientId": TEXT,
        "xdm:lastModifiedClientId": TEXT,
        "xdm:createdUserId": TEXT,
        "xdm:lastModifiedUserId": TEXT,
        "eTag": TEXT,
    }
)
_RESOURCE = obj(
    **{
        "$id": TEXT,
        "meta:altId": TEXT,
        "meta:resourceType": TEXT,
        "version": {"type": "string", "pattern": r"^[0-9]+\.[0-9]+$"},
        "title": TEXT,
        "type": {"enum": ["object"]},
        "meta:containerId": TEXT,
        "meta:sandboxId": TEXT,
        "meta:registryMetadata": _METADATA,
    }
)
_ROW = obj(**{"$id": TEXT, "meta:altId": TEXT, "title": TEXT, "version": TEXT})
_DESCRIPTOR = obj(
    **{"@id": TEXT, "@type": TEXT, "xdm:sourceSchema": TEXT, "xdm:sourceVersion": NUMBER, "xdm:sourceProperty": TEXT}
)
_STATS = obj(imsOrg=TEXT, tenantId=TEXT, counts=_OBJECT, recentlyCreatedResources=many(_OBJECT))

# --- Catalog and Data Access ---

_STAMPS = {"imsOrg": TEXT, "version": TEXT, "created": NUMBER, "updated": NUMBER}
_BATCH = obj(status=TEXT, relatedObjects=many(obj(type=TEXT, id=TEXT)), **_STAMPS)
_DATASET = obj(
    name=TEXT,
    schemaRef=obj(id=TEXT, contentType=TEXT),
    tags=obj(**{"adobe/pqs/table": TEXTS}),
    classification=obj(dataBehavior={"enum": ["record", "time-series", "adhoc"]}),
    viewId=TEXT,
    files=TEXT,
    **_STAMPS,
)
_LINK = obj(self=obj(href=TEXT))


def _listing(row: JsonSchema) -> JsonSchema:
    return obj(data=many(row), _page=obj(limit=NUMBER, count=NUMBER), _links=obj(page=obj(href=TEXT, templated=_ANY)))


_FILES = _listing(
    obj(
        dataSetFileId=TEXT,
        dataSetViewId=TEXT,
        records=_NUMBER_TEXT,
        size=_NUMBER_TEXT,
        created=_NUMBER_TEXT,
        isValid=_ANY,
        _links=_LINK,
    )
)
_PARTS = _listing(obj(name=TEXT, length=_NUMBER_TEXT, _links=_LINK))

# --- Data Prep ---

_STAMP = {"id": TEXT, "version": NUMBER, "createdDate": NUMBER, "modifiedDate": NUMBER, "createdBy": TEXT, "modifiedBy": TEXT}
_ROW_OF_SET = obj(sourceType=TEXT, source=TEXT, destination=TEXT, sourceAttribute=TEXT, destinationXdmPath=TEXT, **_STAMP)
_SET = obj(mappings=many(_ROW_OF_SET), outputSchema=_OBJECT, status=TEXT, **_STAMP)
_FUNCTION = obj(
    function=TEXT, category=TEXT, description=TEXT, syntax=TEXT, params=many(obj(name=TEXT, type=TEXT, position=NUMBER))
)
_OPERATOR = obj(operatorSymbol=TEXT, methodName=TEXT, numberOfOperands=NUMBER, description=TEXT, example=TEXT)

# --- Flow Service ---

_COMMON = {
    "id": TEXT,
    "name": TEXT,
    "createdAt": NUMBER,
    "updatedAt": NUMBER,
    "createdBy": TEXT,
    "updatedBy": TEXT,
    "createdClient": TEXT,
    "updatedClient": TEXT,
    "imsOrgId": TEXT,
    "sandboxId": TEXT,
    "sandboxName": TEXT,
    "state": {"enum": ["enabled", "disabled"]},
    "version": TEXT,
    "etag": TEXT,
}
_SPEC = obj(id=TEXT, version=TEXT)
_ENTITIES = {
    "connections": obj(connectionSpec=_SPEC, auth=_ANY, **_COMMON),
    "sourceConnections": obj(connectionSpec=_SPEC, **_COMMON),
    "targetConnections": obj(connectionSpec=_SPEC, params=_OBJECT, **_COMMON),
    "flows": obj(flowSpec=_SPEC, sourceConnectionIds=TEXTS, targetConnectionIds=TEXTS, inheritedAttributes=_OBJECT, **_COMMON),
}
_RUN = obj(
    id=TEXT,
    flowId=TEXT,
    etag=TEXT,
    metrics=obj(durationSummary=_OBJECT, recordSummary=_OBJECT, statusSummary=obj(status=TEXT)),
    activities=many(_OBJECT),
)
_CONNECTION_SPEC = obj(id=TEXT, name=TEXT, version=TEXT, providerId=TEXT, authSpec=many(_OBJECT), attributes=_OBJECT)
_FLOW_SPEC = obj(id=TEXT, name=TEXT, version=TEXT, sourceConnectionSpecIds=TEXTS, targetConnectionSpecIds=TEXTS)

_EXPLORED = many(obj(type={"enum": ["file", "folder"]}, name=TEXT, path=TEXT, canPreview=_ANY, canFetchSchema=_ANY))
_SANDBOX = obj(id=TEXT, name=TEXT, title=TEXT, state=TEXT, type=TEXT, region=TEXT)
_WHOLE_SANDBOX = obj(
    id=TEXT, name=TEXT, title=TEXT, state=TEXT, type=TEXT, isDefault=_ANY, eTag=NUMBER, createdDate=TEXT, createdBy=TEXT
)
_SANDBOXES = obj(sandboxes=many(_WHOLE_SANDBOX), _page=obj(limit=NUMBER, count=NUMBER), _links=_OBJECT)


def _page(row: JsonSchema) -> JsonSchema:
    return obj(items=many(row), _links=_OBJECT)


def _one(row: JsonSchema) -> JsonSchema:
    return obj(items={"type": "array", "items": row, "minItems": 1, "maxItems": 1})


def _registry() -> Mapping[str, JsonSchema]:
    found: dict[str, JsonSchema] = {"GET /stats": _STATS, "POST /tenant/descriptors": _DESCRIPTOR}
    for kind in ("schemas", "classes", "fieldgroups", "mixins", "datatypes"):
        found[f"GET /{{c}}/{kind}"] = obj(results=many(_ROW))
        found[f"GET /{{c}}/{kind}/{{id}}"] = _RESOURCE
        found[f"POST /tenant/{kind}"] = _RESOURCE
        found[f"PUT /tenant/{kind}/{{id}}"] = _RESOURCE
        found[f"PATCH /tenant/{kind}/{{id}}"] = _RESOURCE
    found |= dict.fromkeys(("GET /{c}/descriptors/{id}", "PUT /tenant/descriptors/{id}"), _DESCRIPTOR)
    return {**found, "GET /{c}/descriptors": keyed(many(_DESCRIPTOR))}


def _flow_service() -> Mapping[str, JsonSchema]:
    found: dict[str, JsonSchema] = {
        "GET /connectionSpecs": _page(_CONNECTION_SPEC),
        "GET /connectionSpecs/{id}": _one(_CONNECTION_SPEC),
        "GET /flowSpecs": _page(_FLOW_SPEC),
        "GET /flowSpecs/{id}": _one(_FLOW_SPEC),
        "GET /connections/{id}/test": obj(result={"enum": [True]}),
        "GET /connections/{id}/explore": _EXPLORED,
        "GET /connectionSpecs/{id}/explore": _EXPLORED,
        "GET /runs": _page(_RUN),
        "GET /runs/{id}": _one(_RUN),
        "POST /runs/{id}/action": _RUN,
        "POST /runs": obj(id=TEXT, etag=TEXT),
        "POST /flows/{id}/action": obj(id=TEXT, etag=TEXT),
        "PATCH /flows/{id}": obj(id=TEXT, etag=TEXT),
        "POST /connections/search": _page(_ENTITIES["connections"]),
        "POST /flows/search": _page(_ENTITIES["flows"]),
    }
    for kind, entity in _ENTITIES.items():
        found[f"GET /{kind}"] = _page(entity)
        found[f"GET /{kind}/{{id}}"] = _one(entity)
        found[f"POST /{kind}"] = obj(id=TEXT, etag={"type": "string", "pattern": '^".*"$'})
    return found


RELIED_ON: Mapping[str, Mapping[str, JsonSchema]] = {
    "Schema Registry": _registry(),
    "Catalog": {
        "GET /batches": keyed(_BATCH),
        "GET /batches/{id}": keyed(_BATCH),
        "GET /lastBatches": keyed(obj(lastBatchId=TEXT, lastBatchStatus=TEXT, created=NUMBER, updated=NUMBER)),
        "GET /dataSets": keyed(_DATASET),
        "GET /dataSets/{id}": keyed(_DATASET),
    },
    "Dataset service": {
        "POST /datasets/{id}/labels": obj(labels=TEXTS, optionalLabels=many(_OBJECT)),
        "PUT /datasets/{id}/labels": obj(labels=TEXTS, optionalLabels=many(_OBJECT)),
    },
    "Streaming ingestion": {
        "POST /collection/{inlet}": obj(inletId=TEXT, xactionId=TEXT, receivedTimeMs=NUMBER),
        "POST /collection/batch/{inlet}": obj(inletId=TEXT, batchId=TEXT, receivedTimeMs=NUMBER, responses=many(_OBJECT)),
    },
    "Batch ingestion": {
        "PATCH /batches/{b}/datasets/{d}/files/{path}": obj(name=TEXT, sizeInBytes=NUMBER),
        "GET /batches/{b}/datasets/{d}/preview": obj(
            formatParams=obj(format=TEXT), preview=obj(columns=many(obj(cid=TEXT, name=TEXT)), rows=many(_OBJECT))
        ),
    },
    "Data Access": {
        "GET /batches/{id}/files": _FILES,
        "GET /batches/{id}/failed": _PARTS,
        "GET /batches/{id}/meta": _PARTS,
        "GET /files/{id}": _PARTS,
        "GET /datasets/{id}/preview": obj(data=many(_OBJECT)),
    },
    "Data Prep": {
        "GET /mappingSets": obj(data=many(_SET), _page=obj(count=NUMBER, limit=NUMBER), _links=_OBJECT),
        "POST /mappingSets": obj(**_STAMP),
        "GET /mappingSets/{id}": _SET,
        "PUT /mappingSets/{id}": _SET,
        "GET /mappingSets/{id}/mappings": many(_ROW_OF_SET),
        "GET /mappingSets/{id}/mappings/{m}": _ROW_OF_SET,
        "GET /languages/el/functions": many(_FUNCTION),
        "GET /languages/el/operators": many(_OPERATOR),
    },
    "Flow service (sources and destinations)": _flow_service(),
    "Ad-hoc activation": {"POST /adhocrun": obj(order=many(obj(segment=TEXT, order=TEXT, statusURL=TEXT)))},
    "Sandbox": {
        "GET /": _SANDBOXES,
        "GET /sandboxTypes": obj(sandboxTypes=many(obj(id=TEXT, title=TEXT))),
        "GET /sandboxes": _SANDBOXES,
        "GET /sandboxes/{n}": _WHOLE_SANDBOX,
        "POST /sandboxes": _SANDBOX,
        "PATCH /sandboxes/{n}": _WHOLE_SANDBOX,
        "PUT /sandboxes/{n}": _SANDBOX,
        "DELETE /sandboxes/{n}": _SANDBOX,
    },
}
"""Schema by service and operation; holds besides the published one."""
