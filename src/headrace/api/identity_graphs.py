"""Identity Service: graphs, cluster members and mappings."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from headrace.api.body import JsonBody, JsonObject
from headrace.api.context import Context, context_of
from headrace.api.wire.answer import answer, empty
from headrace.api.wire.identity import IdentityQueryInvalid, Named, Spelling, named_by_pair, named_by_xid, namespace_named
from headrace.errors import InvalidInput
from headrace.identity.clusters import Graph
from headrace.identity.graph import Link
from headrace.identity.xid import encode_xid
from headrace.model import Identity

router = APIRouter(prefix="/data/core/identity", tags=["Identity"])
_MOST_IDENTITIES = 1000
_GRAPH_MEDIA_TYPE = "application/json;version=2.2.1;charset=utf-8"
_GRAPH_TYPES = {"": True, "private graph": True, "private": True, "pdg": True, "none": False}
_ALGORITHM = "STITCH_ALL"
_NO_CACHE = {"Cache-Control": "no-cache"}


class GraphRequestInvalid(InvalidInput):
    """A request for graphs is malformed."""

    code = "graph_request_invalid"


@router.post("/v2/graph")
def get_graphs(body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Return the graphs of identities, as sets of members or with edges."""
    projection = body.get("projection_type")
    if projection not in ("set", "graph"):
        raise GraphRequestInvalid("projection types available are [graph|set].", path="/projection_type")
    wants_sources = bool((body.get("aam_properties") or {}).get("return_data_sources"))
    if wants_sources and projection == "graph":
        raise GraphRequestInvalid(
            "return_data_sources is not allowed with projection type graph.", path="/aam_properties/return_data_sources"
        )
    if body.get("traverse"):
        raise GraphRequestInvalid("traverse predicates are not supported.", path="/traverse")
    wanted = _requested(body, context)
    keeps = _filter_of(body, context)
    is_stitched = _is_stitched(body.get("graph_type"))
    writer = _GraphWriter(context, has_edge_data=bool(body.get("require_edge_meta_data")), keeps=keeps)
    graphs = []
    for named in wanted:
        if named.identity is not None:
            graph = _graph_of(context, named.identity, is_stitched=is_stitched)
            entry = writer.as_set(named, graph) if projection == "set" else writer.as_graph(named, graph)
            graphs.append({**entry, "datasources": []} if wants_sources else entry)
    unprocessed = [named.given for named in wanted if named.identity is None]
    members: dict[str, Any] = {"unprocessed_composite_xids": unprocessed}
    if wanted[0].form == "xid":
        members["unprocessed_xids"] = unprocessed
    content = {"version": "2.0", "graphs": graphs, **members, "algo_type": _ALGORITHM}
    return answer(content, headers=_NO_CACHE, media_type=_GRAPH_MEDIA_TYPE)


def _requested(body: Mapping[str, Any], context: Context) -> list[Named]:
    xids = body.get("xids")
    pairs = body.get("composite_xids", body.get("composite_xid"))
    if isinstance(pairs, Mapping):
        pairs = [pairs]
    entries = xids if xids else pairs
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST_IDENTITIES:
        raise GraphRequestInvalid(
            f"xids or composite_xids must have from 1 to {_MOST_IDENTITIES} entries.", path="/composite_xids"
        )
    return [_named(entry, context) for entry in entries]


def _named(entry: Any, context: Context) -> Named:
    if isinstance(entry, str):
        return named_by_xid(entry)
    if not isinstance(entry, Mapping):
        return Named(None, "xid", entry)
    return named_by_xid(str(entry["xid"])) if "xid" in entry else named_by_pair(context, entry)


def _filter_of(body: Mapping[str, Any], context: Context) -> frozenset[int] | None:
    """Return the namespaces that a filter keeps, None when there is no filter."""
    predicates = [item for part in body.get("filter") or [] for item in _predicates(part)]
    kept: frozenset[int] | None = None
    for predicate in predicates:
        name, operator = str(predicate.get("v_prop", "")).lower(), str(predicate.get("op", "")).lower()
        if name not in ("ns", "nsid") or operator not in ("eq", "in"):
            raise GraphRequestInvalid("filter predicates support v_prop ns or nsid with op eq or in.", path="/filter")
        values = predicate.get("value")
        listed = values if isinstance(values, list) else [values]
        found = [namespace_named(context, str(value), is_number=name == "nsid") for value in listed]
        numbers = frozenset(item.id for item in found if item is not None)
        kept = numbers if kept is None else kept & numbers
    return kept


def _predicates(part: Any) -> list[Mapping[str, Any]]:
    if not isinstance(part, Mapping) or part.get("order_by") or part.get("limit"):
        raise GraphRequestInvalid("filter entries hold predicates alone.", path="/filter")
    listed = part.get("predicate", [])
    return [item for item in (listed if isinstance(listed, list) else [listed]) if isinstance(item, Mapping)]


def _is_stitched(graph_type: Any) -> bool:
    is_stitched = _GRAPH_TYPES.get(str(graph_type or "").lower())
    if is_stitched is None:
        raise IdentityQueryInvalid(
            f"The graph-type {graph_type} specified is invalid. Please provide a valid graph-type", path="graph-type"
        )
    return is_stitched


def _graph_of(context: Context, identity: Identity, *, is_stitched: bool) -> Graph | None:
    """Return the graph to show: None for an identity that was never seen or, when graphs are stitched, has no links."""
    graph = context.services.graphs.graph(context.sandbox.number, *identity.key)
    if graph is None or is_stitched:
        return graph if graph is not None and graph.links else None
    return Graph([vertex for vertex in graph.vertices if vertex.identity.key == identity.key], ())


class _GraphWriter:
    """Writes graphs in the form of each request."""

    def __init__(self, context: Context, *, has_edge_data: bool, keeps: frozenset[int] | None) -> None:
        self._context = context
        self._spelling = Spelling(context)
        self._has_edge_data = has_edge_data
        self._keeps = keeps

    def as_set(self, named: Named, graph: Graph | None) -> dict[str, Any]:
        """Return the members alone, the identity asked for among them."""
        kept = [item.identity for item in graph.vertices if self._is_kept(item.identity)] if graph else []
        return {**self._head(named), "members": [self._spelling.written(item, named.form) for item in kept]}

    def as_graph(self, named: Named, graph: Graph | None) -> dict[str, Any]:
        """Return vertices and edges."""
        if graph is None:
            return {**self._head(named), "vertices": [], "edges": []}
        vertices = [
            {**self._key(item.identity, named.form), "last_updated_ts": item.last_seen_ms}
            for item in graph.vertices
            if self._is_kept(item.identity)
        ]
        edges = [
            self._edge(link, graph, named.form)
            for link in graph.links
            if self._is_kept(graph.vertices[link.a].identity) and self._is_kept(graph.vertices[link.b].identity)
        ]
        return {**self._head(named), "vertices": vertices, "edges": edges}

    def _is_kept(self, identity: Identity) -> bool:
        return self._keeps is None or identity.namespace_id in self._keeps

    def _head(self, named: Named) -> dict[str, Any]:
        return {"xid": named.given} if named.form == "xid" else {"composite_xid": named.given}

    def _key(self, identity: Identity, form: str) -> dict[str, Any]:
        name = "xid" if form == "xid" else "composite_xid"
        return {name: self._spelling.written(identity, form)}

    def _edge(self, link: Link, graph: Graph, form: str) -> dict[str, Any]:
        ends = [self._spelling.written(graph.vertices[place].identity, form) for place in (link.a, link.b)]
        edge: dict[str, Any] = {
            "xid_pair" if form == "xid" else "composite_xid_pair": ends,
            "first_established_ts": link.first_ms,
            "last_established_ts": link.last_ms,
        }
        if self._has_edge_data:
            catalog, sandbox = self._context.services.catalog, self._context.sandbox
            datasets = (catalog.dataset_by_number(sandbox, number) for number in sorted(link.times))
            edge["dataset_ids"] = [item.id for item in datasets if item is not None]
            edge["batch_ids"] = list(link.batches)
        return edge


@router.get("/cluster/members")
def get_members(
    xid: str | None = None,
    id: str | None = None,
    nsid: str | None = None,
    ns_id: str | None = Query(None, alias="nsId"),
    namespace: str | None = None,
    ns: str | None = None,
    graph_type: str | None = Query(None, alias="graph-type"),
    context: Context = Depends(context_of),
) -> Response:
    """Return the members of one identity's cluster."""
    named = _one(context, xid, {"id": id, "nsid": nsid or ns_id, "namespace": namespace or ns})
    cluster = _cluster(context, named, Spelling(context), is_stitched=_is_stitched(graph_type))
    return answer({"version": "1.1.0", **cluster, "algo_type": _ALGORITHM}, headers=_NO_CACHE)


@router.post("/clusters/members")
def get_members_of_many(body: JsonBody, context: Context = Depends(context_of)) -> Response:
    """Return the members of many identities' clusters."""
    spelling = Spelling(context)
    clusters, unprocessed = [], []
    for part in _parts(body):
        is_stitched = _is_stitched(part.get("graph-type"))
        for named in _many(context, part):
            if named.identity is None:
                unprocessed.append(named.given)
            else:
                clusters.append(_cluster(context, named, spelling, is_stitched=is_stitched))
    content = {"version": "1.1.0", "clusters": clusters, "unprocessedRecords": unprocessed, "algo_type": _ALGORITHM}
    return answer(content, headers=_NO_CACHE)


def _one(context: Context, xid: str | None, pair: Mapping[str, Any]) -> Named:
    if xid:
        named = named_by_xid(xid)
    elif pair["id"] and (pair["namespace"] or pair["nsid"]):
        named = named_by_pair(context, pair)
    else:
        raise IdentityQueryInvalid("Missing required query parameter - xid or (nsid,id)", path="xid")
    if named.identity is None:
        where = xid or f"namespace={pair['namespace'] or pair['nsid']} and id={pair['id']}"
        raise IdentityQueryInvalid(
            f"The provided {where} is invalid. Please provide a valid namespace and id in your request.", path="namespace"
        )
    return named


def _parts(body: Any) -> list[Mapping[str, Any]]:
    parts = [part for part in (body if isinstance(body, list) else [body]) if isinstance(part, Mapping)]
    if not parts:
        raise IdentityQueryInvalid("Missing required query parameter - xids or compositeXids", path="/")
    return parts


def _many(context: Context, part: Mapping[str, Any]) -> list[Named]:
    for name in ("xids", "xid", "compositeXids", "compositeXidsWithNamespace"):
        entries = part.get(name)
        if not entries:
            continue
        listed = entries if isinstance(entries, list) else [entries]
        if len(listed) > _MOST_IDENTITIES:
            kind = "XIDs" if name.startswith("xid") else "compositeXids"
            raise IdentityQueryInvalid(f"There is a limit of {_MOST_IDENTITIES} {kind} in a single call", path=f"/{name}")
        return [_named(entry, context) for entry in listed]
    raise IdentityQueryInvalid("Missing required query parameter - xids or compositeXids", path="/")


def _cluster(context: Context, named: Named, spelling: Spelling, *, is_stitched: bool) -> dict[str, Any]:
    graph = _graph_of(context, named.identity, is_stitched=is_stitched) if named.identity else None
    members = [spelling.written(item.identity, named.form) for item in graph.vertices] if graph else []
    return {**_subject(named, spelling), "members": members}


def _subject(named: Named, spelling: Spelling) -> dict[str, Any]:
    if named.form == "xid" or named.identity is None:
        return {"xid": named.given}
    return {"compositeXid": spelling.pair(named.identity, named.form)}


@router.get("/mapping")
def get_mapping(
    xid: str | None = None,
    id: str | None = None,
    nsid: str | None = None,
    ns_id: str | None = Query(None, alias="nsId"),
    namespace: str | None = None,
    ns: str | None = None,
    target: str | None = Query(None, alias="targetNs"),
    graph_type: str | None = Query(None, alias="graph-type"),
    context: Context = Depends(context_of),
) -> Response:
    """Return the identities of one namespace that belong with an identity; 204 when there are none."""
    named = _one(context, xid, {"id": id, "nsid": nsid or ns_id, "namespace": namespace or ns})
    mapping = _mapping(context, named, target, Spelling(context), is_stitched=_is_stitched(graph_type))
    return _mappings([mapping] if mapping else [], ())


@router.post("/mapping")
@router.post("/mappings")
def get_mappings(body: JsonBody, context: Context = Depends(context_of)) -> Response:
    """Return the same for many identities."""
    spelling = Spelling(context)
    found: list[dict[str, Any]] = []
    unprocessed: list[Named] = []
    for part in _parts(body):
        is_stitched = _is_stitched(part.get("graph-type"))
        for named in _many(context, part):
            if named.identity is None:
                unprocessed.append(named)
                continue
            mapping = _mapping(context, named, part.get("targetNs"), spelling, is_stitched=is_stitched)
            found.extend([mapping] if mapping else [])
    return _mappings(found, unprocessed)


def _mapping(context: Context, named: Named, target: Any, spelling: Spelling, *, is_stitched: bool) -> dict[str, Any] | None:
    if named.identity is None:
        return None
    namespace_id = named.identity.namespace_id
    if target not in (None, ""):
        wanted = namespace_named(context, str(target), is_number=str(target).isdecimal())
        if wanted is None:
            raise IdentityQueryInvalid(f"The targetNs {target} specified is invalid.", path="targetNs")
        namespace_id = wanted.id
    graph = _graph_of(context, named.identity, is_stitched=is_stitched)
    vertices = [item for item in graph.vertices if item.identity.namespace_id == namespace_id] if graph else []
    if not vertices:
        return None
    mapping = [
        {**_member(item.identity, named.form, spelling), "lastAssociationTime": str(item.last_seen_ms)} for item in vertices
    ]
    return {**_subject(named, spelling), "mapping": mapping, "regions": []}


def _member(identity: Identity, form: str, spelling: Spelling) -> dict[str, Any]:
    return {"xid": encode_xid(*identity.key)} if form == "xid" else {"compositeXid": spelling.pair(identity, form)}


def _mappings(found: Sequence[Mapping[str, Any]], unprocessed: Iterable[Named]) -> Response:
    unprocessed = list(unprocessed)
    if not found and not unprocessed:
        return empty(204)
    xids = [named.given for named in unprocessed if named.form == "xid"]
    pairs = [named.given for named in unprocessed if named.form != "xid"]
    content = {"version": 1, "mappings": list(found), "unprocessedXids": xids, "unprocessedNids": pairs}
    return answer(content, headers=_NO_CACHE)
