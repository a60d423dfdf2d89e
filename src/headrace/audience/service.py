"""Audiences of a sandbox: definitions, the method that evaluates each, what depends on what."""

import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from headrace.audience import store
from headrace.audience.binding import Binder, Unions
from headrace.audience.definition import (
    BATCH,
    EDGE,
    EXTERNAL,
    INACTIVE,
    PROFILE_SCHEMA,
    PUBLISHED,
    SEGMENT,
    STREAMING,
    Audience,
    Definition,
    Evaluation,
    audience_of,
    external_id,
    row_of,
)
from headrace.audience.errors import (
    AudienceExists,
    AudienceInUse,
    AudienceInvalid,
    AudienceNameTaken,
    AudienceRefused,
    AudienceUnknown,
)
from headrace.audience.evaluation import MethodRules, decide
from headrace.audience.lifecycle import check_move, check_new
from headrace.clock import Clock
from headrace.model import Sandbox
from headrace.pql.analysis import Audiences as KnownAudiences
from headrace.profile.policies import MergePolicies, MergePolicy, PolicyUnknown
from headrace.schemas import SchemaRegistry
from headrace.storage.control import ControlStore

MAX_DEPTH = 10
"""Audiences of audiences of audiences…"""

_EXTERNAL_ID = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
UsersOf = Callable[[Sandbox, str], Sequence[str]]
"""Returns what uses an audience outside this stage, in words for people (``dataflow 'Mail'``)."""

RulesOf = Callable[[Sandbox], MethodRules]


class Audiences:
    """Reads and changes audiences; safe between threads. Readers see one state of a sandbox until its revision rises."""

    def __init__(self, control: ControlStore, clock: Clock, schemas: SchemaRegistry, policies: MergePolicies) -> None:
        """Open the audiences.

        Args:
            control: Where they are stored.
            clock: Stamps changes.
            schemas: Gives the union schemas that queries are bound to.
            policies: Gives merge policies.
        """
        self._control = control
        self._clock = clock
        self._policies = policies
        self.binder = Binder(schemas)
        self._users_of: UsersOf = lambda _sandbox, _audience_id: ()
        self._rules_of: RulesOf = lambda _sandbox: MethodRules()
        self._known: dict[int, tuple[int, tuple[Audience, ...]]] = {}
        self._lock = threading.Lock()

    def connect(self, *, users_of: UsersOf | None = None, rules_of: RulesOf | None = None) -> None:
        """Give the audiences what later stages know; until then nothing counts as using one."""
        self._users_of = users_of or self._users_of
        self._rules_of = rules_of or self._rules_of

    # --- reading ----------------------------------------------------------------------------------------------------------

    def all(self, sandbox: Sandbox) -> tuple[Audience, ...]:
        """Return all audiences of a sandbox, in any state, oldest first."""
        revision = self._control.revision()
        known = self._known.get(sandbox.number)
        if known is not None and known[0] == revision:
            return known[1]
        with self._lock, self._control.read() as connection:
            found = self._loaded(connection, sandbox)
            self._known[sandbox.number] = (revision, found)
        return found

    def _loaded(self, connection: Connection, sandbox: Sandbox) -> tuple[Audience, ...]:
        def binder(audience: Audience) -> Any:
            return self.binder.bound(sandbox, audience)

        return tuple(audience_of(row, binder) for row in store.audience_rows(connection, sandbox.number))

    def active(self, sandbox: Sandbox) -> list[Audience]:
        """Return the audiences whose memberships count: all but drafts; those that are inactive keep their last ones."""
        return [item for item in self.all(sandbox) if item.lifecycle_state in (PUBLISHED, INACTIVE)]

    def all_streaming(self, sandbox: Sandbox) -> list[Audience]:
        """Return the published audiences that the pipeline evaluates, with their queries bound."""
        return [
            item
            for item in self.all(sandbox)
            if item.method in (STREAMING, EDGE) and item.lifecycle_state == PUBLISHED and item.has_query
        ]

    def evaluated(self, sandbox: Sandbox) -> list[Audience]:
        """Return the audiences that the daily job evaluates: every published one that has a query, streamed ones too."""
        return [item for item in self.all(sandbox) if item.lifecycle_state == PUBLISHED and item.has_query]

    def get(self, sandbox: Sandbox, audience_id: str) -> Audience:
        """Return an audience by its id.

        Raises:
            AudienceUnknown: The sandbox has none.
        """
        return _found(self.all(sandbox), audience_id)

    def find(self, sandbox: Sandbox, ids: Iterable[str]) -> dict[str, Audience]:
        """Return those of some audiences that exist, by id."""
        wanted = set(ids)
        return {item.id: item for item in self.all(sandbox) if item.id in wanted}

    def ids(self, sandbox: Sandbox) -> dict[int, str]:
        """Return audience number → id."""
        return {item.number: item.id for item in self.active(sandbox)}

    def unions(self, sandbox: Sandbox) -> Unions:
        """Return the union schemas that queries are bound to."""
        return self.binder.unions(sandbox)

    def dependents(self, sandbox: Sandbox, audience_id: str) -> list[Audience]:
        """Return the audiences whose queries name an audience."""
        return [item for item in self.all(sandbox) if audience_id in item.dependencies]

    def with_dependencies(self, sandbox: Sandbox, ids: Iterable[str]) -> list[Audience]:
        """Return some audiences and all that they depend on, each once."""
        by_id = {item.id: item for item in self.all(sandbox)}
        wanted: dict[str, Audience] = {}
        pending = [audience_id for audience_id in ids if audience_id in by_id]
        while pending:
            item = by_id[pending.pop()]
            if item.id not in wanted:
                wanted[item.id] = item
                pending.extend(parent for parent in item.dependencies if parent in by_id)
        return sorted(wanted.values(), key=lambda item: item.number)

    def users_of_policy(self, sandbox: Sandbox, policy_id: str) -> list[str]:
        """Return the audiences that use a merge policy, in words for people."""
        return [f"audience '{item.name}'" for item in self.all(sandbox) if item.merge_policy_id == policy_id]

    # --- writing ----------------------------------------------------------------------------------------------------------

    def create(self, sandbox: Sandbox, definition: Definition) -> Audience:
        """Create an audience; the system chooses its method.

        Raises:
            AudienceInvalid: A member is missing or has the wrong shape.
            AudienceNameTaken: Another audience has the name.
            AudienceExists: An external audience with this namespace and id exists.
            ExpressionInvalid: The query has problems.
        """
        now_ms = self._clock.now_ms()
        self._policies.default(sandbox)  # makes it when it is missing, which must not happen inside the transaction
        with self._control.write() as connection:
            present = self._loaded(connection, sandbox)
            definition = _with_known_namespace(definition, present)
            audience_id = str(uuid.uuid4())
            if definition.kind == EXTERNAL:
                audience_id = external_id(definition.namespace, definition.audience_id, sandbox)
                _check_external(definition, audience_id, present)
            else:
                definition = msgspec.structs.replace(definition, audience_id=audience_id)
            new = self._derived(
                sandbox, Audience(0, audience_id, definition, Evaluation(), "", 1, now_ms, now_ms, _unbound), present
            )
            check_new(new.lifecycle_state, _parents(new, present))
            number = store.add_audience(connection, row_of(new, sandbox))
        return self._written(sandbox, number)

    def update(self, sandbox: Sandbox, audience_id: str, change: Callable[[Definition], Definition]) -> Audience:
        """Change an audience; a query that no longer can be streamed moves to batch by itself.

        Args:
            sandbox: The sandbox.
            audience_id: The audience.
            change: Gives the new definition from the present one.

        Raises:
            AudienceUnknown: The sandbox has none.
            AudienceRefused: A member changes that never may, or the life cycle has no such move.
            AudienceInUse: It would leave *published* while something uses it.
            AudienceNameTaken: Another audience has the name.
            ExpressionInvalid: The query has problems.
        """
        self._policies.default(sandbox)
        with self._control.write() as connection:
            present = self._loaded(connection, sandbox)
            before = _found(present, audience_id)
            definition = change(before.definition)
            _check_unchanged(before.definition, definition)
            after = self._derived(sandbox, replace(before, definition=definition, updated_at=self._clock.now_ms()), present)
            if _evaluates_otherwise(before, after):
                after = replace(after, version=before.version + 1)
            check_move(before.lifecycle_state, after.lifecycle_state, self._users(sandbox, before, present, is_published=True))
            check_new(after.lifecycle_state, _parents(after, present))
            store.change_audience(connection, before.number, row_of(after, sandbox))
        return self._written(sandbox, before.number)

    def delete(self, sandbox: Sandbox, audience_id: str) -> Audience:
        """Delete an audience with its memberships, and return what it was.

        Raises:
            AudienceUnknown: The sandbox has none.
            AudienceInUse: A dataflow or another audience uses it.
        """
        with self._control.write() as connection:
            present = self._loaded(connection, sandbox)
            audience = _found(present, audience_id)
            users = self._users(sandbox, audience, present, is_published=False)
            if users:
                raise AudienceInUse("deleted", users)
            store.remove_audience(connection, audience.number)
        return audience

    def move_policy(self, sandbox: Sandbox, old: str, new: str) -> None:
        """Let the audiences that follow the default merge policy follow its successor, and choose their methods anew."""
        with self._control.write() as connection:
            present = self._loaded(connection, sandbox)
            for item in present:
                if item.merge_policy_id != old or item.definition.merge_policy_id not in ("", old):
                    continue
                moved = msgspec.structs.replace(item.definition, merge_policy_id=new if item.definition.merge_policy_id else "")
                after = self._derived(sandbox, replace(item, definition=moved, version=item.version + 1), present)
                store.change_audience(connection, item.number, row_of(after, sandbox))

    # --- what follows from a definition -------------------------------------------------------------------------------------

    def _derived(self, sandbox: Sandbox, audience: Audience, present: Sequence[Audience]) -> Audience:
        """Return an audience with its merge policy and its method, after all checks."""
        definition = audience.definition
        _check_name(audience, present)
        if definition.kind == EXTERNAL:
            return replace(audience, merge_policy_id=definition.merge_policy_id or self._policies.default(sandbox).id)
        if definition.schema_name != PROFILE_SCHEMA:
            raise AudienceInvalid(
                f"Audiences are evaluated over '{PROFILE_SCHEMA}', not over '{definition.schema_name}'.", path="/schema/name"
            )
        default = self._policies.default(sandbox)
        policy = self._policy(sandbox, definition.merge_policy_id) if definition.merge_policy_id else default
        evaluation = self._evaluation(sandbox, audience, present, is_default_policy=policy.id == default.id)
        return replace(audience, evaluation=evaluation, merge_policy_id=policy.id)

    def _policy(self, sandbox: Sandbox, policy_id: str) -> MergePolicy:
        try:
            return self._policies.policy(sandbox, policy_id)
        except PolicyUnknown as error:
            raise AudienceInvalid(f"There is no merge policy '{policy_id}'.", path="/mergePolicyId") from error

    def _evaluation(
        self, sandbox: Sandbox, audience: Audience, present: Sequence[Audience], *, is_default_policy: bool
    ) -> Evaluation:
        expression = audience.definition.expression
        if expression is None:
            raise AudienceInvalid("An audience needs an expression.", path="/expression")
        by_id = {item.id: item for item in present}
        known = KnownAudiences(
            exists=lambda audience_id: audience_id in by_id and by_id[audience_id].definition.schema_name == PROFILE_SCHEMA,
            references=lambda audience_id: by_id[audience_id].dependencies if audience_id in by_id else (),
            own_id=audience.id,
        )
        analysis = self.binder.analysed(sandbox, expression, known)
        _check_depth(analysis.dependencies.audience_ids, by_id)
        return decide(
            analysis,
            audience.definition.requested,
            rules=self._rules_of(sandbox),
            class_of_audience=lambda audience_id: by_id[audience_id].evaluation.query_class if audience_id in by_id else None,
            is_default_policy=is_default_policy,
        )

    def _users(self, sandbox: Sandbox, audience: Audience, present: Sequence[Audience], *, is_published: bool) -> list[str]:
        children = [
            f"audience '{item.name}'"
            for item in present
            if audience.id in item.dependencies and (not is_published or item.lifecycle_state == PUBLISHED)
        ]
        return [*children, *self._users_of(sandbox, audience.id)]

    def _written(self, sandbox: Sandbox, number: int) -> Audience:
        return next(item for item in self.all(sandbox) if item.number == number)


def _unbound(audience: Audience) -> None:
    del audience


def _found(present: Iterable[Audience], audience_id: str) -> Audience:
    for item in present:
        if item.id == audience_id:
            return item
    raise AudienceUnknown(audience_id)


def _parents(audience: Audience, present: Iterable[Audience]) -> list[Audience]:
    return [item for item in present if item.id in audience.dependencies]


def _evaluates_otherwise(before: Audience, after: Audience) -> bool:
    return (
        before.definition.expression != after.definition.expression
        or before.merge_policy_id != after.merge_policy_id
        or (before.method == BATCH) != (after.method == BATCH)
    )


def _check_name(audience: Audience, present: Iterable[Audience]) -> None:
    name = audience.definition.name
    if not name.strip():
        raise AudienceInvalid("An audience needs a name.", path="/name")
    if any(item.name == name and item.id != audience.id for item in present):
        raise AudienceNameTaken(name)


def _check_external(definition: Definition, audience_id: str, present: Iterable[Audience]) -> None:
    if not definition.audience_id:
        raise AudienceInvalid("An external audience needs an audienceId.", path="/audienceId")
    if not definition.namespace:
        raise AudienceInvalid("An external audience needs a namespace.", path="/namespace")
    if definition.origin == "CUSTOM_UPLOAD" and not _EXTERNAL_ID.fullmatch(definition.audience_id):
        raise AudienceInvalid(
            f"audienceId '{definition.audience_id}' is not acceptable: it begins with a letter, _ or $, "
            "and holds letters, digits, _ and $ only.",
            path="/audienceId",
        )
    if any(item.id == audience_id for item in present):
        raise AudienceExists(f"Namespace '{definition.namespace}' has an audience '{definition.audience_id}' already.")


def _with_known_namespace(definition: Definition, present: Iterable[Audience]) -> Definition:
    """Return the definition with its namespace spelled as it was stored first; case does not count."""
    if definition.kind == SEGMENT:
        return definition
    known = {item.definition.namespace.lower(): item.definition.namespace for item in reversed(list(present))}
    namespace = known.get(definition.namespace.lower(), definition.namespace)
    return msgspec.structs.replace(definition, namespace=namespace)


def _check_unchanged(before: Definition, after: Definition) -> None:
    for member, wire in (("kind", "type"), ("namespace", "namespace"), ("audience_id", "audienceId")):
        old, new = str(getattr(before, member)), str(getattr(after, member))
        if old.lower() != new.lower():
            raise AudienceRefused(f"'{wire}' is '{old}' and cannot be changed to '{new}'.", path=f"/{wire}")


def _check_depth(ids: Iterable[str], by_id: Mapping[str, Audience]) -> None:
    level, depth = set(ids), 1
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise AudienceRefused(f"Audiences refer to audiences more than {MAX_DEPTH} deep here.", path="/expression/value")
        level = {parent for item in level if item in by_id for parent in by_id[item].dependencies}
