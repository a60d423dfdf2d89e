"""Where the reference overrules the published file, or speaks where the file is silent: what, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.conformance.wire.shapes import NUMBER, TEXT, TEXTS, JsonSchema, keyed, many, obj


@dataclass(frozen=True)
class Overrule:
    """What an operation answers instead of what the file says.

    Attributes:
        why: Whose word counts more, and what the file says.
        statuses: Statuses of success; empty for those of the file.
        schema: What the body must satisfy besides the file's schema.
        places: Places of the body (``/_page/next``, ``*`` for any text) where the file's word does not count.
        replaces_file: Whether the file's schema does not count at all, or there is none.
        has_body: Whether there is a JSON body to look at.
    """

    why: str
    statuses: tuple[int, ...] = ()
    schema: JsonSchema | None = None
    places: tuple[str, ...] = ()
    replaces_file: bool = False
    has_body: bool = True


_NOTHING = Overrule("An upload and a deletion are answered without a body.", has_body=False)

# --- Schema Registry ---

_PAGE = Overrule(
    "The last page has '_page.next' and '_links.next', both null: the public client stops there. "
    "The file gives one type for every page and models the link as a text.",
    places=("/_page/next", "/_links/next"),
    schema=obj(
        _page=obj(next={"type": ["string", "number", "null"]}, count=NUMBER),
        _links=obj(next={"type": ["object", "null"]}),
        results=many({"type": "object"}),
    ),
)
_DESCRIPTOR = Overrule(
    "'xdm:sourceVersion' is the number that the request holds; the file's own example is one, its schema says text. "
    "Titles of display descriptors are maps from locale to text.",
    places=("*/xdm:sourceVersion", "*/xdm:title"),
)
_MIXIN = Overrule(
    "A mixin is a field group under its former name; the file gives no body here.",
    schema=obj(title=TEXT, type=TEXT),
    replaces_file=True,
)
_CHANGES = Overrule("What a change sets may be any JSON value; the file says text.", places=("*/value",))

# --- Catalog ---


def _deletion(*statuses: int) -> Overrule:
    return Overrule("The public client deletes it; no file has it.", statuses=statuses, has_body=False)


_VIEW = obj(dataSetId=TEXT, created=NUMBER, updated=NUMBER, version=TEXT, files=TEXT)
_FILE = obj(batchId=TEXT, dataSetViewId=TEXT, imsOrg=TEXT, version=TEXT, created=NUMBER, updated=NUMBER)
_BOUNDS = obj(defaultValue=TEXT, maxValue=TEXT, minValue=TEXT)
_RETENTION = obj(extensions=obj(adobe_lakeHouse=obj(rowExpiration=_BOUNDS)))


def _client_only(schema: JsonSchema) -> Overrule:
    return Overrule("The public client calls it; no file has it.", statuses=(200,), schema=schema, replaces_file=True)


_SEVERAL = Overrule(
    "The guide answers each request's own id, code and body, which '<<id>>' templates need; the file gives a list of references.",
    statuses=(200,),
    schema=many(obj(id=TEXT, code=NUMBER, body={})),
    replaces_file=True,
)

# --- Dataset service ---

_LABELS = obj(labels=TEXTS, optionalLabels=many(obj(labels=TEXTS, option={"type": "object"})))
_KEYED_LABELS = Overrule(
    "The labels are keyed by 'AEP:dataset:<id>', as the service answers; the file models the inner object alone.",
    schema=keyed(_LABELS),
)

# --- ingestion ---

_BATCH = Overrule(
    "A batch begins as 'loading' and goes on to 'loaded'; the file's list of statuses begins with processing. Times are numbers.",
    places=("/status", "/created", "/updated", "/started", "/completed"),
    schema=obj(id=TEXT, status=TEXT, version=TEXT, created=NUMBER, updated=NUMBER, relatedObjects=many({"type": "object"})),
)
_SENT = Overrule(
    "The same endpoint as without the prefix; no file has it under this one.",
    statuses=(200,),
    schema=obj(inletId=TEXT, xactionId=TEXT, receivedTimeMs=NUMBER),
    replaces_file=True,
)
_BATCH_SENT = Overrule(
    _SENT.why,
    statuses=(207,),
    schema=obj(inletId=TEXT, batchId=TEXT, receivedTimeMs=NUMBER, responses=many({"type": "object"})),
    replaces_file=True,
)

# --- Data Prep ---

_DATED = Overrule(
    "Times are epoch milliseconds, which the file calls text; an attribute's 'sourceType' is read back as the file's own "
    "examples show it, 'text/x.schema-path', which its list of values lacks.",
    places=("*/createdDate", "*/modifiedDate", "*/sourceType"),
)
_MAPPING = obj(id=TEXT, sourceType=TEXT, source=TEXT, destination=TEXT)
_ERRORS: JsonSchema = {"type": ["array", "null"]}
_MAPPINGS = Overrule(
    "The path names all mappings of a set; the file gives one mapping.", schema=many(_MAPPING), replaces_file=True
)
_VALIDATED = Overrule(
    "A mapping without errors has 'errors': null, as in the file's example; its schema says list.",
    places=("/validationResponse/*/errors",),
    schema=obj(validationResponse=many(obj(status={"enum": ["SUCCESS", "FAILED"]}, errors=_ERRORS))),
)
_PREVIEWED = Overrule(
    "One result for each row of data, as in the file's example; its schema is one result.",
    schema=many(obj(data={"type": "object"}, errors=_ERRORS)),
    replaces_file=True,
)
_OUTPUT_SCHEMA = Overrule(
    "The guide of file exports stores the columns of a file so; no file has it.",
    statuses=(200,),
    schema=obj(id=TEXT, version=NUMBER, jsonSchema={"type": "object"}),
    replaces_file=True,
)

# --- Flow Service ---

_VERSION = obj(id=TEXT, etag={"type": "string", "pattern": '^".*"$'})
_CHANGED = Overrule("A change answers id and new etag; the file gives no body.", schema=_VERSION, replaces_file=True)
_REFERENCE_ALONE = Overrule(
    "A change answers id and new etag, as for dataflows; the file gives the whole list.", schema=_VERSION, replaces_file=True
)
_DELETED = Overrule(
    "What belongs to a destination is deleted with 202, as the file of destinations says; that of Flow Service says 204.",
    statuses=(202, 204),
    has_body=False,
)
_EXPORTABLE = Overrule(
    "The datasets that can be exported come as items with page information; the file reuses the schema of 'explore'.",
    schema=obj(
        items=many(obj(id=TEXT, name=TEXT, fileDescription={"type": "object"}, state=TEXT)),
        pageInfo=obj(start=NUMBER, end=NUMBER, total=NUMBER, hasNext={"type": "boolean"}),
    ),
    replaces_file=True,
)
_FLOW_SPECS = Overrule(
    "A flow spec lists its transformations, and a dataflow lists them likewise; the file models one.",
    places=("/items/*/transformationSpecs",),
    schema=obj(items=many(obj(("id", "name"), transformationSpecs=many({"type": "object"})))),
)
_CONTAINER = obj(containerName=TEXT, containerTTL=TEXT)
_CREDENTIALS = obj(containerName=TEXT, storageAccountName=TEXT, SASToken=TEXT, SASUri=TEXT, expiryDate=TEXT)


_BY_SERVICE: Mapping[str, tuple[tuple[Overrule, tuple[str, ...]], ...]] = {
    "Schema Registry": (
        (
            _PAGE,
            (
                *(f"GET /{{c}}/{kind}" for kind in ("schemas", "classes", "fieldgroups", "mixins", "datatypes")),
                "GET /global/behaviors",
            ),
        ),
        (
            _DESCRIPTOR,
            (
                "GET /{c}/descriptors",
                "GET /{c}/descriptors/{id}",
                "POST /tenant/descriptors",
                "PUT /tenant/descriptors/{id}",
            ),
        ),
        (_MIXIN, ("PUT /tenant/mixins/{id}", "PATCH /tenant/mixins/{id}")),
        (_CHANGES, ("GET /rpc/auditlog/{id}",)),
    ),
    "Catalog": (
        (_client_only(keyed(_VIEW)), ("GET /dataSets/{id}/views", "GET /dataSets/{id}/views/{v}")),
        (_client_only(keyed(_FILE)), ("GET /dataSets/{id}/views/{v}/files",)),
        (_client_only(_RETENTION), ("GET /ttl/{id}",)),
        (_SEVERAL, ("POST /",)),
    ),
    "Dataset service": (
        (_KEYED_LABELS, ("GET /datasets/{id}/labels",)),
        (
            _client_only({"type": "object"}),
            ("DELETE /datasets/{id}/labels", "HEAD /datasets/{id}/labels"),
        ),
    ),
    "Batch ingestion": (
        (_BATCH, ("POST /batches", "POST /batches/{b}")),
        (_NOTHING, ("PUT /batches/{b}/datasets/{d}/files/{path}",)),
        (
            Overrule(
                "The guide answers 201 to both actions on a file; the file says 200.",
                statuses=(201,),
                schema=obj(name=TEXT, sizeInBytes=NUMBER),
                replaces_file=True,
            ),
            ("POST /batches/{b}/datasets/{d}/files/{path}",),
        ),
        (_SENT, ("POST /collection/{inlet}",)),
        (_BATCH_SENT, ("POST /collection/batch/{inlet}",)),
    ),
    "Data Prep": (
        (
            _DATED,
            (
                "GET /mappingSets",
                "POST /mappingSets",
                "GET /mappingSets/{id}",
                "PUT /mappingSets/{id}",
                "GET /mappingSets/{id}/mappings/{m}",
            ),
        ),
        (_MAPPINGS, ("GET /mappingSets/{id}/mappings",)),
        (_client_only(_MAPPING), ("POST /mappingSets/{id}/mappings", "PUT /mappingSets/{id}/mappings/{m}")),
        (_deletion(200, 204), ("DELETE /mappingSets/{id}", "DELETE /mappingSets/{id}/mappings/{m}")),
        (_VALIDATED, ("POST /mappingSets/validate",)),
        (_PREVIEWED, ("POST /mappingSets/preview",)),
        (_OUTPUT_SCHEMA, ("POST /schemas",)),
    ),
    "Flow service (sources and destinations)": (
        (_CHANGED, ("PATCH /connections/{id}",)),
        (_REFERENCE_ALONE, ("PATCH /sourceConnections/{id}", "PATCH /targetConnections/{id}")),
        (
            _DELETED,
            tuple(f"DELETE /{kind}/{{id}}" for kind in ("connections", "sourceConnections", "targetConnections", "flows")),
        ),
        (_EXPORTABLE, ("GET /connectionSpecs/{id}/configs",)),
        (_FLOW_SPECS, ("GET /flowSpecs", "GET /flowSpecs/{id}")),
    ),
    "Sandbox": (
        (
            Overrule(
                "The guide's answers have dates as '2027-02-14 08:00:00'; the file calls them date-time.",
                places=("*/createdDate", "*/lastModifiedDate"),
            ),
            ("GET /", "GET /sandboxes", "GET /sandboxes/{n}", "PATCH /sandboxes/{n}"),
        ),
    ),
    "Landing zone": (
        (_client_only(_CONTAINER), ("GET /landingzone",)),
        (_client_only(_CREDENTIALS), ("GET /landingzone/credentials",)),
    ),
}


def _entries() -> Iterator[tuple[tuple[str, str], Overrule]]:
    for service, overruled in _BY_SERVICE.items():
        for overrule, keys in overruled:
            for key in keys:
                yield (service, key), overrule


OVERRULES: Mapping[tuple[str, str], Overrule] = dict(_entries())
"""By name of the service, method and path."""
