"""What a connection must look like before it is stored."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol

from headrace.activation import specs
from headrace.activation.credentials import CredentialStore, revealed, s3_spelling
from headrace.activation.endpoints import check_endpoints
from headrace.activation.entities import object_of, text_of
from headrace.activation.errors import EntityInvalid
from headrace.activation.store import ConnectionKind, FlowStore, StoredConnection
from headrace.clock import Clock, from_ms
from headrace.destinations import registry
from headrace.destinations.base import Context, Destination
from headrace.destinations.settings import secret_names, settings_from, wire_name
from headrace.errors import NotFound
from headrace.ingest.sources import kinds
from headrace.ingest.sources.selection import format_of, selection_of
from headrace.model import Sandbox

_KEPT = ("name", "description", "providerId", "connectionSpec", "baseConnectionId", "auth", "encryptionSpecs", "data", "params")
_FORMATS = {"delimited": "CSV", "csv": "CSV", "json": "JSON", "parquet": "PARQUET"}


class Datasets(Protocol):
    """What connections ask of the catalog."""

    def dataset(self, sandbox: Sandbox, dataset_id: str) -> Any:
        """Return a dataset.

        Raises:
            NotFound: There is none with this id.
        """
        ...


class ConnectionChecks:
    """Checks and normalises documents of connections."""

    def __init__(
        self,
        store: FlowStore,
        clock: Clock,
        credentials: CredentialStore,
        datasets: Datasets,
        context_of: Callable[[Sandbox], Context],
    ) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials
        self._datasets = datasets
        self._context_of = context_of

    def checked(
        self, sandbox: Sandbox, kind: ConnectionKind, document: Mapping[str, Any], known: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what is stored of a document, secrets masked, and its secrets.

        Args:
            sandbox: Where it belongs.
            kind: Which kind of connection it is.
            document: The document, with a valid ``connectionSpec``.
            known: Secrets stored before; a mask in the document stands for one of them.

        Raises:
            InvalidInput: It cannot be a connection of this kind.
        """
        text_of(document, "name")
        kept = {name: document[name] for name in _KEPT if document.get(name) is not None}
        role = specs.role_of(kept["connectionSpec"]["id"])
        if kind == "base":
            return self._checked_base(sandbox, role, {**kept, "encryption": document.get("encryption")}, known)
        if kind == "source":
            return self._checked_source(sandbox, role, kept), {}
        return self._checked_target(sandbox, role, kept), {}

    def _checked_base(
        self, sandbox: Sandbox, role: specs.Role, document: dict[str, Any], known: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        legacy = document.pop("encryption")
        if role == "streaming_source":
            return _checked_inlet(document), {}
        if role not in ("destination", "file_source"):
            document.pop("auth", None)
            return document, {}
        kind = registry.destination(_account_spec(document["connectionSpec"]["id"]))
        auth = object_of(document, "auth")
        params = object_of(auth, "params", path="/auth")
        encryption = _encryption(document, params, legacy)
        document.pop("encryptionSpecs", None)
        if encryption:
            document["encryptionSpecs"] = encryption
        if not auth and (not kind.auth_specs or "None" in kind.auth_specs):
            return document, {}
        if "params" not in auth and known:
            return document, {}  # the published way to take an account's credentials away
        shown, secrets = self._checked_auth(sandbox, kind, str(auth.get("specName") or ""), params, known)
        return {**document, "auth": {"specName": auth.get("specName"), "params": shown}}, secrets

    def _checked_auth(
        self, sandbox: Sandbox, kind: type[Destination], name: str, params: Mapping[str, Any], known: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, str]]:
        settings = kind.auth_specs.get(name)
        names = [] if settings is None else [wire_name(item.name) for item in fields(settings)]
        params = s3_spelling(params, names)
        secret = secret_names(settings) if settings is not None else frozenset()
        shown, secrets = self._credentials.split(params, secret, known, "/auth/params")
        registry.auth_settings(kind, name, revealed(shown, secrets))
        check_endpoints(params, "/auth/params", allow_private=self._context_of(sandbox).allow_private_destinations)
        if names:
            shown["authorizedDate"] = from_ms(self._clock.now_ms()).date().isoformat()
        return shown, secrets

    def _checked_source(self, sandbox: Sandbox, role: specs.Role, document: dict[str, Any]) -> dict[str, Any]:
        document.pop("auth", None)
        if role not in ("profile_store", "data_lake_source", "streaming_source", "file_source"):
            raise EntityInvalid(
                f"'{specs.spec_name(document['connectionSpec']['id'])}' cannot be a source.", path="/connectionSpec/id"
            )
        base = self._base_of(sandbox, document)
        if role == "streaming_source" and base is None:
            raise EntityInvalid("A streaming source needs its base connection.", path="/baseConnectionId")
        if role == "file_source":
            return _checked_files(document, base)
        if role == "data_lake_source":
            document["params"] = {"datasets": self._checked_datasets(sandbox, object_of(document, "params"))}
        return document

    def _checked_datasets(self, sandbox: Sandbox, params: Mapping[str, Any]) -> list[dict[str, str]]:
        given = params.get("datasets")
        if not isinstance(given, list) or not given:
            raise EntityInvalid("params.datasets must list at least one dataset.", path="/params/datasets")
        found = []
        for index, entry in enumerate(given):
            here = f"/params/datasets/{index}"
            dataset_id = text_of(entry if isinstance(entry, Mapping) else {}, "dataSetId", path=here)
            dataset = self._dataset(sandbox, dataset_id, f"{here}/dataSetId")
            found.append({"dataSetId": dataset_id, "name": str(entry.get("name") or dataset.name)})
        return found

    def _checked_target(self, sandbox: Sandbox, role: specs.Role, document: dict[str, Any]) -> dict[str, Any]:
        document.pop("auth", None)
        params = object_of(document, "params")
        if role == "data_lake_target":
            return self._checked_lake_target(sandbox, document, params)
        if role != "destination":
            raise EntityInvalid(
                f"'{specs.spec_name(document['connectionSpec']['id'])}' cannot be a target.", path="/connectionSpec/id"
            )
        kind = registry.destination(document["connectionSpec"]["id"])
        base = self._base_of(sandbox, document)
        if base is None and kind.auth_specs:
            raise EntityInvalid("A target connection needs its base connection.", path="/baseConnectionId")
        if kind.kind == "file":
            params = _with_implied_format(params, object_of(document, "data"))
        document["params"] = params
        settings_from(kind.target_settings, params, path="/params")
        check_endpoints(params, "/params", allow_private=self._context_of(sandbox).allow_private_destinations)
        return document

    def _checked_lake_target(self, sandbox: Sandbox, document: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
        dataset_id = text_of({"dataSetId": params.get("dataSetId") or params.get("datasetId")}, "dataSetId", path="/params")
        dataset = self._dataset(sandbox, dataset_id, "/params/dataSetId")
        schema = object_of(object_of(document, "data"), "schema", path="/data")
        schema_id = schema.get("id") or schema.get("schemaId")
        if schema_id and schema_id != dataset.schema_id:
            raise EntityInvalid(
                f"Dataset '{dataset.name}' has the schema {dataset.schema_id}, not {schema_id}.", path="/data/schema/id"
            )
        document["params"] = {**params, "dataSetId": dataset_id}
        return document

    def _dataset(self, sandbox: Sandbox, dataset_id: str, path: str) -> Any:
        try:
            return self._datasets.dataset(sandbox, dataset_id)
        except NotFound as error:
            raise EntityInvalid(f"Dataset '{dataset_id}' does not exist.", path=path) from error

    def _base_of(self, sandbox: Sandbox, document: Mapping[str, Any]) -> StoredConnection | None:
        base_id = document.get("baseConnectionId")
        if not base_id:
            return None
        base = self._store.connection(sandbox, "base", str(base_id))
        if base is None:
            raise EntityInvalid(f"Base connection '{base_id}' does not exist.", path="/baseConnectionId")
        if _same(base.spec_id) != _same(document["connectionSpec"]["id"]):
            raise EntityInvalid(
                f"Base connection '{base_id}' is of '{specs.spec_name(base.spec_id)}', "
                f"not of '{specs.spec_name(document['connectionSpec']['id'])}'.",
                path="/baseConnectionId",
            )
        return base


def _account_spec(spec_id: str) -> str:
    """Return the destination that has the accounts of a connection spec."""
    return kinds.source_kind(spec_id).twin if kinds.is_source(spec_id) else spec_id


def _same(spec_id: str) -> str:
    """Return the connection spec under its first published id."""
    return kinds.source_kind(spec_id).id if kinds.is_source(spec_id) else spec_id


def _checked_files(document: dict[str, Any], base: StoredConnection | None) -> dict[str, Any]:
    kind = kinds.source_kind(document["connectionSpec"]["id"])
    if base is None and kind.needs_account:
        raise EntityInvalid(f"A source connection of '{kind.name}' needs its base connection.", path="/baseConnectionId")
    params = object_of(document, "params")
    kind.place(selection_of(params).path, params)
    format_of(object_of(document, "data"))
    return document


def with_implied_spec(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body whose spec is the landing zone's when it holds only a name, as one published example does."""
    if set(body) <= {"name", "description"}:
        return {**body, "connectionSpec": {"id": specs.DATA_LANDING_ZONE, "version": specs.VERSION}}
    return dict(body)


def _checked_inlet(document: dict[str, Any]) -> dict[str, Any]:
    auth = object_of(document, "auth")
    params = object_of(auth, "params", path="/auth")
    if params.get("dataType") not in ("xdm", "raw"):
        raise EntityInvalid(f"dataType must be xdm or raw, got {params.get('dataType')!r}.", path="/auth/params/dataType")
    required = params.get("authenticationRequired", False)
    if isinstance(required, str) and required.lower() in ("true", "false"):
        required = required.lower() == "true"
    if not isinstance(required, bool):
        raise EntityInvalid("authenticationRequired must be true or false.", path="/auth/params/authenticationRequired")
    name = params.get("name") or params.get("sourceId") or document["name"]
    shown = {
        **{key: value for key, value in params.items() if key != "inletUrl"},
        "name": str(name),
        "sourceId": str(params.get("sourceId") or name),
        "authenticationRequired": required,
    }
    return {**document, "auth": {"specName": auth.get("specName") or "Streaming Connection", "params": shown}}


def _encryption(document: Mapping[str, Any], auth_params: dict[str, Any], legacy: Any) -> dict[str, Any]:
    """Return the encryption of files in its newest place, from whichever of the three it was given in."""
    given = document.get("encryptionSpecs") or auth_params.pop("encryptionSpecs", None) or legacy
    auth_params.pop("encryptionSpecs", None)
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise EntityInvalid("encryptionSpecs must be an object.", path="/encryptionSpecs")
    params = object_of(given, "params", path="/encryptionSpecs")
    if params.get("encryptionAlgo") == "NONE":
        return {}
    key = text_of(params, "publicKey", path="/encryptionSpecs/params")
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error as error:
        raise EntityInvalid(
            "publicKey must be base64 of an ASCII-armoured key.", path="/encryptionSpecs/params/publicKey"
        ) from error
    return {
        "specName": str(given.get("specName") or "Encryption spec"),
        "params": {"encryptionAlgo": "PGPGPG", "publicKey": key},
    }


def _with_implied_format(params: dict[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return file parameters with the format that ``data.format`` names, as clients send it for the landing zone."""
    file_type = _FORMATS.get(str(data.get("format", "")).lower())
    if file_type and "fileType" not in params and "datasetFileType" not in params and "compression" not in params:
        return {**params, "fileType": file_type, "compression": "NONE"}
    return params
