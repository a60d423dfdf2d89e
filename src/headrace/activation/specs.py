"""The catalogue: connection specs and flow specs, made from the destinations and from what Headrace itself offers.

Ids, names and shapes are those of the Adobe Experience Platform where they are published.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from headrace.activation.errors import EntityUnknown, SpecInvalid, SpecVersionMissing
from headrace.destinations import registry
from headrace.destinations.base import STREAM_FLOW_SPEC_ID, Destination
from headrace.destinations.settings import schema_of
from headrace.ingest.sources import kinds

PROFILE_STORE = "8a9c3494-9708-43d7-ae3f-cda01e5030e1"
DATA_LAKE_SOURCE = "23598e46-f560-407b-88d5-ea6207e49db0"
STREAMING_SOURCE = "bc7b00d6-623a-4dfc-9fdb-f1240aeadaeb"
DATA_LAKE_TARGET = "c604ff05-7f1a-43c0-8e18-33bf874cb11c"
DATA_LANDING_ZONE = "10440537-2a7b-4583-ac39-ed38d4b848e8"

STREAM_WITHOUT_MAPPING = "d8a6f005-7eaf-4153-983e-e8574508b877"
STREAM_WITH_MAPPING = "c1a19761-d2c7-4702-b9fa-fe91f0613e81"
CLOUD_STORAGE_TO_LAKE = "9753525b-82c7-4dce-8a9b-5ccfce2b9876"

STREAMING_PROVIDER = "521eee4d-8cbe-4906-bb48-fb6bd4450033"
CLOUD_STORAGE_PROVIDER = "14e34fac-d307-11e9-bb65-2a2ae2dbcce4"
SOURCES_PROVIDER = "0ed90a81-07f4-4586-8190-b40eccef1c5a"
VERSION = "1.0"

Role = Literal["destination", "profile_store", "data_lake_source", "streaming_source", "file_source", "data_lake_target"]
Content = Literal["audience", "dataset", "ingestion", "file_ingestion"]
INGESTION: tuple[Content, ...] = ("ingestion", "file_ingestion")

_OWN: Mapping[str, tuple[Role, str]] = {
    PROFILE_STORE: ("profile_store", "Profile Store"),
    DATA_LAKE_SOURCE: ("data_lake_source", "activation-datalake"),
    STREAMING_SOURCE: ("streaming_source", "Streaming Connection"),
    DATA_LAKE_TARGET: ("data_lake_target", "datalake"),
}

_DATASETS_ONLY = {"field": "flowSpec.attributes._workflow", "operator": "CONTAINS", "value": "DATASETS"}
_AUDIENCES_ONLY = {"field": "flowSpec.attributes._workflow", "operator": "NOT_CONTAINS", "value": "DATASETS"}
_CONDITIONS: Mapping[str, Mapping[str, str]] = {
    "fileType": _AUDIENCES_ONLY,
    "datasetFileType": _DATASETS_ONLY,
    "csvOptions": {"field": "fileType", "operator": "EQUALS", "value": "CSV"},
}

_ENCRYPTION_SPEC = {
    "name": "File PGP/GPG Encryption",
    "type": "FileAsymmetric",
    "spec": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "publicKey": {"type": "string", "contentEncoding": "base64", "title": "Public key"},
            "encryptionAlgo": {"type": "string", "default": "PGPGPG", "enum": ["PGPGPG", "NONE"]},
        },
        "required": ["encryptionAlgo", "publicKey"],
    },
}

_PARTNER_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "attributes": {
            "type": "object",
            "additionalProperties": {"type": "object", "properties": {"value": {"type": "string"}}},
        },
        "identityMap": {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
            },
        },
        "segmentMembership": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "lastQualificationTime": {"type": "string", "format": "date-time"},
                        "status": {"type": "string", "enum": ["realized", "exited"]},
                    },
                },
            },
        },
    },
}

_STREAMING_AUTH = {
    "name": "Streaming Connection",
    "type": "Streaming",
    "spec": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "sourceId": {"type": "string", "description": "Name of the source, unique in the sandbox; `name` by default."},
            "name": {"type": "string", "description": "Name of the inlet."},
            "dataType": {"type": "string", "enum": ["xdm", "raw"], "description": "Form of the messages."},
            "authenticationRequired": {"type": "boolean", "default": False},
        },
        "required": ["dataType"],
    },
}

_DATASETS_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "datasets": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"dataSetId": {"type": "string"}, "name": {"type": "string"}},
                "required": ["dataSetId"],
            },
        }
    },
    "required": ["datasets"],
}

_FILES_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "path": {"type": "string", "description": "A file, a folder, or a folder with a pattern of names, as in 'crm/*.csv'."},
        "type": {"type": "string", "enum": ["file", "folder"]},
        "recursive": {"type": "string", "enum": ["true", "false"], "default": "false"},
    },
    "required": ["path"],
}

_DATASET_TARGET_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {"dataSetId": {"type": "string", "description": "The dataset that takes the records."}},
    "required": ["dataSetId"],
}


_PROVIDERS: Mapping[Content, str] = {"ingestion": STREAMING_PROVIDER, "file_ingestion": SOURCES_PROVIDER}


@dataclass(frozen=True, slots=True)
class FlowSpec:
    """What kind of dataflow runs between which ends.

    Attributes:
        id: UUID.
        name: Name in the catalogue.
        content: What flows.
        source_spec_ids: Connection specs that the source may have.
        target_spec_ids: Connection specs that the target may have.
        is_stream: Whether it runs all the time rather than by a schedule.
    """

    id: str
    name: str
    content: Content
    source_spec_ids: tuple[str, ...]
    target_spec_ids: tuple[str, ...]
    is_stream: bool

    def wire(self) -> dict[str, Any]:
        """Return the flow spec as the catalogue shows it."""
        attributes: dict[str, Any] = {"frequency": "streaming" if self.is_stream else "batch"}
        if self.content in INGESTION:
            attributes["isSourceFlow"] = True
        else:
            attributes |= {"isDestinationFlow": True, "_workflow": ["DATASETS" if self.content == "dataset" else "AUDIENCES"]}
        return {
            "id": self.id,
            "name": self.name,
            "providerId": _PROVIDERS.get(self.content, CLOUD_STORAGE_PROVIDER),
            "version": VERSION,
            "sourceConnectionSpecIds": list(self.source_spec_ids),
            "targetConnectionSpecIds": list(self.target_spec_ids),
            "attributes": attributes,
            "transformationSpecs": [_transformation_spec(self)],
        }


def role_of(connection_spec_id: str) -> Role:
    """Return what a connection spec stands for.

    Raises:
        SpecInvalid: There is no such spec.
    """
    if connection_spec_id in _OWN:
        return _OWN[connection_spec_id][0]
    if kinds.is_source(connection_spec_id):
        return "file_source"
    if registry.is_known(connection_spec_id):
        return "destination"
    raise SpecInvalid("Please provide a valid spec id", path="/connectionSpec/id")


def spec_reference(body: Mapping[str, Any]) -> dict[str, str]:
    """Return ``connectionSpec`` of a request's body as ``{"id", "version"}``.

    Raises:
        SpecInvalid: It is missing, or there is no such spec.
        SpecVersionMissing: It has no version.
    """
    given = body.get("connectionSpec")
    if not isinstance(given, Mapping) or not isinstance(given.get("id"), str):
        raise SpecInvalid("Please provide a valid spec id", path="/connectionSpec/id")
    role_of(given["id"])
    if not given.get("version"):
        raise SpecVersionMissing
    return {"id": given["id"], "version": str(given["version"])}


def spec_name(connection_spec_id: str) -> str:
    """Return the name of a connection spec."""
    if connection_spec_id in _OWN:
        return _OWN[connection_spec_id][1]
    if kinds.is_source(connection_spec_id):
        return kinds.source_kind(connection_spec_id).name
    return registry.destination(connection_spec_id).title


def connection_specs() -> list[dict[str, Any]]:
    """Return all connection specs."""
    own = [_own_spec(spec_id) for spec_id in _OWN]
    return own + [_source_spec(kind) for kind in kinds.ALL.values()] + [_destination_spec(kind) for kind in registry.all()]


def connection_spec(spec_id: str) -> dict[str, Any]:
    """Return one connection spec.

    Raises:
        EntityUnknown: There is none with this id.
    """
    if spec_id in _OWN:
        return _own_spec(spec_id)
    if kinds.is_source(spec_id):
        return _source_spec(kinds.source_kind(spec_id))
    if registry.is_known(spec_id):
        return _destination_spec(registry.destination(spec_id))
    raise EntityUnknown("connection_spec", spec_id)


def flow_specs() -> list[FlowSpec]:
    """Return all flow specs: ingestion, then audience and dataset exports by destination."""
    streams = [kind for kind in registry.all() if kind.flow_spec_id == STREAM_FLOW_SPEC_ID]
    files = [kind for kind in registry.all() if kind.flow_spec_id != STREAM_FLOW_SPEC_ID]
    found = [
        FlowSpec(
            STREAM_WITHOUT_MAPPING,
            "Stream data without transformation",
            "ingestion",
            (STREAMING_SOURCE,),
            (DATA_LAKE_TARGET,),
            True,
        ),
        FlowSpec(
            STREAM_WITH_MAPPING, "Stream data with transformation", "ingestion", (STREAMING_SOURCE,), (DATA_LAKE_TARGET,), True
        ),
        FlowSpec(CLOUD_STORAGE_TO_LAKE, "CloudStorageToAEP", "file_ingestion", tuple(kinds.ALL), (DATA_LAKE_TARGET,), False),
        FlowSpec(
            STREAM_FLOW_SPEC_ID,
            "upsToStreamingDestination",
            "audience",
            (PROFILE_STORE,),
            tuple(kind.connection_spec_id for kind in streams),
            True,
        ),
    ]
    for kind in files:
        ends = (kind.connection_spec_id,)
        short = kind.title.replace(" ", "")
        found.append(FlowSpec(kind.flow_spec_id, f"upsTo{short}", "audience", (PROFILE_STORE,), ends, False))
        if kind.dataset_flow_spec_id:
            found.append(FlowSpec(kind.dataset_flow_spec_id, f"dataLakeTo{short}", "dataset", (DATA_LAKE_SOURCE,), ends, False))
    return found


def flow_spec(spec_id: str) -> FlowSpec:
    """Return one flow spec.

    Raises:
        EntityUnknown: There is none with this id.
    """
    found = next((spec for spec in flow_specs() if spec.id == spec_id), None)
    if found is None:
        raise EntityUnknown("flow_spec", spec_id)
    return found


def _destination_spec(kind: type[Destination]) -> dict[str, Any]:
    target = schema_of(kind.target_settings)
    for name, condition in _CONDITIONS.items():
        if name in target["properties"]:
            target["properties"][name]["conditional"] = dict(condition)
    if kind.kind == "file":
        target["required"] = sorted({*target.get("required", ()), "fileType", "datasetFileType"})
    spec: dict[str, Any] = {
        "id": kind.connection_spec_id,
        "name": kind.title,
        "providerId": CLOUD_STORAGE_PROVIDER,
        "version": VERSION,
        "authSpec": _auth_specs(kind.auth_specs),
        "encryptionSpecs": [_ENCRYPTION_SPEC] if kind.capabilities.encrypts else [],
        "targetSpec": {
            "name": "User based target",
            "type": "UserNamespace",
            "spec": target,
            "attributes": {"partnerSchema": {"jsonSchema": _PARTNER_SCHEMA}},
        },
        "attributes": {
            "category": kind.category,
            "isDestination": True,
            "connectionType": "streaming" if kind.kind == "stream" else "batch",
        },
        "permissionsInfo": {"view": [], "manage": []},
    }
    return spec


def _auth_specs(auth_specs: Mapping[str, type]) -> list[dict[str, Any]]:
    return [
        {"name": name, "type": getattr(auth, "spec_type", "None"), "spec": schema_of(auth)} for name, auth in auth_specs.items()
    ]


def _source_spec(kind: kinds.SourceKind) -> dict[str, Any]:
    return {
        "id": kind.id,
        "name": kind.name,
        "providerId": SOURCES_PROVIDER,
        "version": VERSION,
        "authSpec": _auth_specs(kind.auth_specs),
        "sourceSpec": {"name": "File based source", "type": "CloudStorage", "spec": _FILES_SCHEMA},
        "exploreSpec": {"name": "FileSystem", "type": "FileSystem", "spec": {"type": "object"}},
        "encryptionSpecs": [],
        "attributes": {"category": "cloudStorage", "isSource": True, "connectionType": "batch"},
        "permissionsInfo": {"view": [], "manage": []},
    }


@cache
def _own_spec(spec_id: str) -> dict[str, Any]:
    role, name = _OWN[spec_id]
    spec: dict[str, Any] = {
        "id": spec_id,
        "name": name,
        "providerId": STREAMING_PROVIDER if role == "streaming_source" else CLOUD_STORAGE_PROVIDER,
        "version": VERSION,
        "authSpec": [_STREAMING_AUTH] if role == "streaming_source" else [],
        "encryptionSpecs": [],
        "attributes": {"isSource": role != "data_lake_target"},
        "permissionsInfo": {"view": [], "manage": []},
    }
    if role == "data_lake_source":
        spec["sourceSpec"] = {"name": "Dataset based source", "type": "DataLake", "spec": _DATASETS_SCHEMA}
    elif role == "data_lake_target":
        spec["targetSpec"] = {"name": "Dataset based target", "type": "DataLake", "spec": _DATASET_TARGET_SCHEMA}
    elif role == "profile_store":
        spec["sourceSpec"] = {"name": "Profile store source", "type": "ProfileFragments", "spec": {"type": "object"}}
    else:
        spec["sourceSpec"] = {"name": "Streaming source", "type": "Streaming", "spec": {"type": "object"}}
    return spec


def _transformation_spec(spec: FlowSpec) -> dict[str, Any]:
    if spec.content in INGESTION:
        properties: dict[str, Any] = {"mappingId": {"type": "string"}, "mappingVersion": {"type": "integer"}}
        return {"name": "Mapping", "spec": {"type": "object", "properties": properties}}
    names = ["segmentSelectors", "profileSelectors"]
    if not spec.is_stream:
        names += ["mandatoryFields", "primaryFields", "profileMapping"]
    return {"name": "GeneralTransform", "spec": {"type": "object", "properties": {name: {} for name in names}}}
