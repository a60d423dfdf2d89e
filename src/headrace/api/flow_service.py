"""Flow Service: specs, connections, dataflows and runs."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import APIRouter, Body, Depends, Request
from starlette.responses import Response

from headrace.activation import specs
from headrace.activation.connections import Change
from headrace.activation.entities import Author
from headrace.activation.errors import ConnectionTestFailed, EntityInvalid, FilterInvalid
from headrace.activation.query import ListQuery, list_query, page, select
from headrace.activation.service import FlowService
from headrace.activation.store import ConnectionKind, StoredConnection, StoredFlow
from headrace.api.context import Context, context_of
from headrace.api.patching import apply_patch, operations_of
from headrace.api.wire.answer import answer, empty
from headrace.errors import HeadraceError

router = APIRouter(prefix="/data/foundation/flowservice", tags=["Flow Service"])

Document = dict[str, Any]

_STATES = {"enable": "enabled", "disable": "disabled"}
_INGESTION_ROLES = ("streaming_source", "file_source", "data_lake_target")


# Specs


@router.get("/connectionSpecs")
def list_connection_specs(request: Request) -> Response:
    """List connection specifications."""
    return _listed(request, "/connectionSpecs", specs.connection_specs(), order="name")


@router.get("/connectionSpecs/{spec_id}")
def get_connection_spec(spec_id: str) -> Response:
    """Retrieve a connection specification."""
    return _one(specs.connection_spec(spec_id))


@router.get("/connectionSpecs/{spec_id}/configs")
def list_exportable_datasets(spec_id: str, start: int = 0, limit: int = 20, context: Context = Depends(context_of)) -> Response:
    """List the datasets that can be exported."""
    specs.connection_spec(spec_id)
    if start < 0 or not 1 <= limit <= 100:
        raise FilterInvalid("start must be at least 0, and limit from 1 to 100.", path="limit")
    found = context.services.catalog.datasets(context.sandbox)
    shown = [_exportable(dataset) for dataset in found[start : start + limit]]
    info = {"start": start, "end": start + len(shown), "total": len(found), "hasNext": start + limit < len(found)}
    return answer({"items": shown, "pageInfo": info})


@router.get("/connectionSpecs/{spec_id}/explore")
async def explore_source(spec_id: str, request: Request, context: Context = Depends(context_of)) -> Response:
    """Show what a source without an account holds."""
    specs.connection_spec(spec_id)
    return answer(await _service(context).connections.explore(context.sandbox, spec_id, request.query_params))


@router.get("/flowSpecs")
def list_flow_specs(request: Request) -> Response:
    """List flow specifications."""
    return _listed(request, "/flowSpecs", [spec.wire() for spec in specs.flow_specs()], order="name")


@router.post("/flowSpecs/search")
def search_flow_specs(request: Request, body: Document = Body()) -> Response:
    """Search flow specifications."""
    return _searched(request, body, "/flowSpecs", [spec.wire() for spec in specs.flow_specs()])


@router.get("/flowSpecs/{spec_id}")
def get_flow_spec(spec_id: str) -> Response:
    """Retrieve a flow specification."""
    return _one(specs.flow_spec(spec_id).wire())


# Connections of the three kinds


@router.get("/connections")
def list_connections(request: Request, context: Context = Depends(context_of)) -> Response:
    """List base connections."""
    return _listed(request, "/connections", _connections(context, "base"))


@router.post("/connections")
def create_connection(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a base connection."""
    return _created(_service(context).connections.create(context.sandbox, "base", body, _author(context)))


@router.post("/connections/search")
def search_connections(request: Request, body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Search base connections."""
    return _searched(request, body, "/connections", _connections(context, "base"))


@router.get("/connections/{connection_id}")
def get_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a base connection."""
    return _one(_connection(context, "base", connection_id))


@router.patch("/connections/{connection_id}")
def update_connection(
    connection_id: str, request: Request, body: Any = Body(), context: Context = Depends(context_of)
) -> Response:
    """Change a base connection."""
    return _patched_connection(context, "base", connection_id, request, body)


@router.delete("/connections/{connection_id}")
def delete_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a base connection."""
    return _deleted_connection(context, "base", connection_id)


@router.get("/connections/{connection_id}/test")
async def test_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Reach the destination of a base connection with its account."""
    connections = _service(context).connections
    connections.get(context.sandbox, "base", connection_id)
    try:
        await connections.test(context.sandbox, connection_id)
    except HeadraceError as error:
        raise ConnectionTestFailed(connection_id, error) from error
    return answer({"result": True})


@router.get("/connections/{connection_id}/explore")
async def explore_connection(connection_id: str, request: Request, context: Context = Depends(context_of)) -> Response:
    """Show what the source of a base connection holds."""
    return answer(await _service(context).connections.explore(context.sandbox, connection_id, request.query_params))


@router.get("/sourceConnections")
def list_source_connections(request: Request, context: Context = Depends(context_of)) -> Response:
    """List source connections."""
    return _listed(request, "/sourceConnections", _connections(context, "source"))


@router.post("/sourceConnections")
def create_source_connection(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a source connection."""
    return _created(_service(context).connections.create(context.sandbox, "source", body, _author(context)))


@router.get("/sourceConnections/{connection_id}")
def get_source_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a source connection."""
    return _one(_connection(context, "source", connection_id))


@router.patch("/sourceConnections/{connection_id}")
def update_source_connection(
    connection_id: str, request: Request, body: Any = Body(), context: Context = Depends(context_of)
) -> Response:
    """Change a source connection."""
    return _patched_connection(context, "source", connection_id, request, body)


@router.delete("/sourceConnections/{connection_id}")
def delete_source_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a source connection."""
    return _deleted_connection(context, "source", connection_id)


@router.get("/targetConnections")
def list_target_connections(request: Request, context: Context = Depends(context_of)) -> Response:
    """List target connections."""
    return _listed(request, "/targetConnections", _connections(context, "target"))


@router.post("/targetConnections")
def create_target_connection(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a target connection."""
    return _created(_service(context).connections.create(context.sandbox, "target", body, _author(context)))


@router.get("/targetConnections/{connection_id}")
def get_target_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a target connection."""
    return _one(_connection(context, "target", connection_id))


@router.patch("/targetConnections/{connection_id}")
def update_target_connection(
    connection_id: str, request: Request, body: Any = Body(), context: Context = Depends(context_of)
) -> Response:
    """Change a target connection."""
    return _patched_connection(context, "target", connection_id, request, body)


@router.delete("/targetConnections/{connection_id}")
def delete_target_connection(connection_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a target connection."""
    return _deleted_connection(context, "target", connection_id)


# Dataflows


@router.get("/flows")
def list_flows(request: Request, context: Context = Depends(context_of)) -> Response:
    """List dataflows."""
    return _listed(request, "/flows", _flows(context))


@router.post("/flows")
def create_flow(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Create a dataflow."""
    return _created(_service(context).flows.create(context.sandbox, body, _author(context)))


@router.post("/flows/search")
def search_flows(request: Request, body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Search dataflows."""
    return _searched(request, body, "/flows", _flows(context))


@router.get("/flows/{flow_id}")
def get_flow(flow_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a dataflow."""
    flows = _service(context).flows
    return _one(flows.wire(context.sandbox, [flows.get(context.sandbox, flow_id)])[0])


@router.patch("/flows/{flow_id}")
def update_flow(flow_id: str, request: Request, body: Any = Body(), context: Context = Depends(context_of)) -> Response:
    """Change a dataflow."""
    changed = _service(context).flows.patch(
        context.sandbox,
        flow_id,
        _change(body),
        operations=operations_of(body),
        if_match=_if_match(request),
        author=_author(context),
    )
    return _reference(changed)


@router.delete("/flows/{flow_id}")
def delete_flow(flow_id: str, context: Context = Depends(context_of)) -> Response:
    """Delete a dataflow."""
    flows = _service(context).flows
    is_destination = flows.is_destination(context.sandbox, flows.get(context.sandbox, flow_id))
    flows.delete(context.sandbox, flow_id)
    return empty(202 if is_destination else 204)


@router.post("/flows/{flow_id}/action")
def act_on_flow(flow_id: str, op: str = "", context: Context = Depends(context_of)) -> Response:
    """Enable or disable a dataflow."""
    state = _STATES.get(op.lower())
    if state is None:
        raise EntityInvalid(f"op must be enable or disable, got '{op}'.", path="op")
    return _reference(_service(context).flows.set_state(context.sandbox, flow_id, state, _author(context)))


# Runs


@router.get("/runs")
def list_runs(request: Request, context: Context = Depends(context_of)) -> Response:
    """List flow runs."""
    query, runs = _query(request), _service(context).runs
    flow_ids, is_all = _flows_asked_for(query)
    if not is_all:
        found = runs.all(context.sandbox, flow_ids=flow_ids)
        return _paged(request, query, "/runs", [runs.wire(context.sandbox, run) for run in found])
    if _is_count(request):
        return answer({"count": runs.count(context.sandbox, flow_ids=flow_ids)})
    # The usual question, for the newest runs of a flow, reads no more of them than it answers.
    after = (int(query.after[0]), str(query.after[1])) if query.after else None
    found = runs.all(context.sandbox, flow_ids=flow_ids, after=after, limit=query.limit + 1)
    return _page_answer(query, "/runs", [runs.wire(context.sandbox, run) for run in found])


def _flows_asked_for(query: ListQuery) -> tuple[list[str] | None, bool]:
    """Return the flow ids that a list of runs is limited to, and whether the query says nothing else."""
    filters = query.parsed_filters()
    by_flow = [item for item in filters if (item.path, item.operator) == ("flowId", "==")]
    flow_ids = [part.strip() for part in by_flow[0].value.split(",")] if by_flow else None
    return flow_ids, not query.order and len(filters) == len(by_flow) <= 1


@router.post("/runs")
def create_run(body: Document = Body(), context: Context = Depends(context_of)) -> Response:
    """Run a dataflow now."""
    flow_id = body.get("flowId")
    if not isinstance(flow_id, str):
        raise EntityInvalid("'flowId' is required.", path="/flowId")
    service = _service(context)
    service.flows.get(context.sandbox, flow_id)
    if service.sources.is_source_flow(context.sandbox, flow_id):
        run = service.sources.request(context.sandbox, flow_id, context.user_id)
        return answer({"id": run.id, "etag": run.state.etag}, 201)
    orders = service.exports.run_now(context.sandbox, flow_id, context.user_id)
    first = service.runs.run(context.sandbox, orders[0].run_id)
    return answer({"id": first.id, "etag": first.state.etag, "runs": [order.run_id for order in orders]}, 201)


@router.get("/runs/{run_id}")
def get_run(run_id: str, context: Context = Depends(context_of)) -> Response:
    """Retrieve a flow run."""
    runs = _service(context).runs
    return _one(runs.wire(context.sandbox, runs.run(context.sandbox, run_id)))


@router.post("/runs/{run_id}/action")
def act_on_run(run_id: str, op: str = "", context: Context = Depends(context_of)) -> Response:
    """Run what a run did once more."""
    if op.upper() != "RE_TRIGGER":
        raise EntityInvalid(f"op must be RE_TRIGGER, got '{op}'.", path="op")
    service = _service(context)
    if service.runs.run(context.sandbox, run_id).state.kind == "ingestion":
        again = service.sources.repeat(context.sandbox, run_id, context.user_id)
        return answer(service.runs.wire(context.sandbox, again))
    order = service.exports.repeat(context.sandbox, run_id, context.user_id)
    return answer(service.runs.wire(context.sandbox, service.runs.run(context.sandbox, order.run_id)))


# What the routes share


def _service(context: Context) -> FlowService:
    return context.services.flow_service


def _author(context: Context) -> Author:
    return Author(context.user_id, context.client_id)


def _connections(context: Context, kind: ConnectionKind) -> list[Document]:
    connections = _service(context).connections
    return [connections.wire(context.sandbox, stored, context.origin) for stored in connections.all(context.sandbox, kind)]


def _connection(context: Context, kind: ConnectionKind, connection_id: str) -> Document:
    connections = _service(context).connections
    return connections.wire(context.sandbox, connections.get(context.sandbox, kind, connection_id), context.origin)


def _patched_connection(context: Context, kind: ConnectionKind, connection_id: str, request: Request, body: Any) -> Response:
    changed = _service(context).connections.patch(
        context.sandbox, kind, connection_id, _change(body), if_match=_if_match(request), author=_author(context)
    )
    return _reference(changed)


def _deleted_connection(context: Context, kind: ConnectionKind, connection_id: str) -> Response:
    stored = _service(context).connections.delete(context.sandbox, kind, connection_id)
    return empty(204 if specs.role_of(stored.spec_id) in _INGESTION_ROLES else 202)


def _flows(context: Context) -> list[Document]:
    flows = _service(context).flows
    return flows.wire(context.sandbox, flows.all(context.sandbox))


def _exportable(dataset: Any) -> Document:
    return {
        "id": dataset.id,
        "name": dataset.name,
        "description": str(dataset.body.get("description") or ""),
        "fileDescription": dataset.body.get("fileDescription")
        or {"persisted": True, "containerFormat": "parquet", "format": "parquet"},
        "aspect": "production",
        "state": "ACTIVE",
    }


def _change(body: Any) -> Change:
    def change(document: Document) -> Document:
        changed = apply_patch(document, body)
        if not isinstance(changed, dict):
            raise EntityInvalid("A patch must leave an object.", path="")
        return changed

    return change


def _if_match(request: Request) -> str | None:
    """Return the version that a change is based on: header, or the query parameter that some published collections send."""
    given = request.headers.get("if-match")
    if given is None:
        given = next((value for name, value in request.query_params.items() if name.lower() == "if-match"), None)
    return given


def _one(entity: Mapping[str, Any]) -> Response:
    return answer({"items": [entity]})


def _created(stored: StoredConnection | StoredFlow) -> Response:
    return answer({"id": stored.id, "etag": stored.etag}, 201)


def _reference(stored: StoredConnection | StoredFlow) -> Response:
    return answer({"id": stored.id, "etag": stored.etag})


def _query(request: Request, order: str | None = None) -> ListQuery:
    params = request.query_params
    return list_query(
        filters=params.getlist("property"),
        order=params.get("orderby") or params.get("orderBy") or order,
        limit=params.get("limit"),
        token=params.get("continuationToken"),
    )


def _listed(request: Request, path: str, items: Iterable[Document], *, order: str | None = None) -> Response:
    return _paged(request, _query(request, order), path, items)


def _paged(request: Request, query: ListQuery, path: str, items: Iterable[Document]) -> Response:
    if _is_count(request):
        return answer({"count": len(select(items, query))})
    return _page_answer(query, path, items)


def _is_count(request: Request) -> bool:
    return request.query_params.get("count", "").lower() == "true"


def _page_answer(query: ListQuery, path: str, items: Iterable[Document]) -> Response:
    found = page(items, query)
    # The token stands first and alone: a client takes what follows the first '=' of the link for it.
    links = {"next": {"href": f"{path}?continuationToken={found.token}"}} if found.token else {}
    return answer({"items": found.items, "_links": links})


def _searched(request: Request, body: Mapping[str, Any], path: str, items: Iterable[Document]) -> Response:
    text = str(body.get("queryString") or "")
    query = list_query(
        filters=[part.removeprefix("property=") for part in text.split("&")],
        order=body.get("orderby"),
        limit=body.get("limit"),
        token=request.query_params.get("continuationToken"),
    )
    if body.get("count") is True:
        return answer({"count": len(select(items, query))})
    return _page_answer(query, path, items)
