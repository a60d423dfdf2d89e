"""Merge policies: how the fragments of a graph become one profile. Source: Profile, "Merge policies"."""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection

from headrace.catalog.datasets import Catalog
from headrace.clock import Clock
from headrace.errors import InvalidInput, NotFound
from headrace.model import Sandbox
from headrace.profile import policy_store as store
from headrace.storage.control import ControlStore

PROFILE_SCHEMA = "_xdm.context.profile"
DEFAULT_NAME = "Default Timebased"
TIMESTAMP_ORDERED, DATASET_PRECEDENCE = "timestampOrdered", "dataSetPrecedence"
MOST_POLICIES = 5
_MOST_DATASETS_OF_A_KIND = 50
_SCHEMA_PREFIX = "_xdm.context."

GraphType = Literal["pdg", "none"]
AttributeMerge = Literal["timestampOrdered", "dataSetPrecedence"]
UsersOf = Callable[[Sandbox, str], Sequence[str]]
"""Returns what uses a policy, in words for people (``audience 'Buyers'``)."""

DefaultMoved = Callable[[Sandbox, str, str], None]
"""Is told (sandbox, former default, new default) after another policy has become the default one."""


class PolicyUnknown(NotFound):
    """The sandbox has no such merge policy."""

    code = "merge_policy_unknown"
    wire_code = "UPAPI-113000"

    def __init__(self, policy_id: str) -> None:
        super().__init__(f"The merge policy {policy_id} is not found.", path="mergePolicyId")


class PolicyInvalid(InvalidInput):
    """A member of a merge policy is missing or not acceptable."""

    code = "merge_policy_invalid"
    wire_code = "UPAPI-113201"


class PolicyLimitReached(InvalidInput):
    """The sandbox has as many policies for the class as it may have."""

    code = "merge_policy_limit_reached"
    wire_code = "UPAPI-113202"


class PolicyInUse(InvalidInput):
    """The policy cannot be deleted: it is the default one, active on edge, or something uses it."""

    code = "merge_policy_in_use"
    wire_code = "UPAPI-113203"


@dataclass(frozen=True)
class MergePolicy:
    """One merge policy.

    Attributes:
        id: UUID.
        name: For people.
        schema_name: Short name of the class, such as ``_xdm.context.profile``.
        graph: Whether fragments of the whole graph merge (``pdg``) or of the identity alone (``none``).
        attribute_merge: Which fragment wins.
        order: Dataset ids of ``dataSetPrecedence``, the strongest first; datasets that are missing here are not merged.
        is_default: Whether it is the default of its class.
        is_active_on_edge: Whether edge audiences use it; one policy of a sandbox does.
        version: Rises with every change.
        body: ``attributeMerge`` and ``identityGraph`` as they were sent.
        updated_at: Epoch ms.
    """

    id: str
    name: str
    schema_name: str
    graph: GraphType
    attribute_merge: AttributeMerge
    order: tuple[str, ...]
    is_default: bool
    is_active_on_edge: bool
    version: int
    body: Mapping[str, Any]
    updated_at: int


class MergePolicies:
    """Reads and changes merge policies; safe between threads. Every sandbox has a default policy for profiles."""

    def __init__(self, control: ControlStore, clock: Clock, catalog: Catalog) -> None:
        """Open the policies.

        Args:
            control: Where they are stored.
            clock: Stamps changes.
            catalog: Knows the datasets that a precedence may name.
        """
        self._control = control
        self._clock = clock
        self._catalog = catalog
        self._users_of: UsersOf = lambda _sandbox, _policy_id: ()
        self._default_moved: DefaultMoved = lambda _sandbox, _old, _new: None
        self._known: dict[int, tuple[int, tuple[MergePolicy, ...]]] = {}
        self._lock = threading.Lock()

    def connect(self, *, users_of: UsersOf | None = None, default_moved: DefaultMoved | None = None) -> None:
        """Give the policies what later stages know; until then nothing counts as using a policy."""
        self._users_of = users_of or self._users_of
        self._default_moved = default_moved or self._default_moved

    def all(self, sandbox: Sandbox) -> tuple[MergePolicy, ...]:
        """Return all policies of a sandbox, oldest first; at least the default one."""
        policies = self._stored(sandbox)
        return policies if _default_of(policies, PROFILE_SCHEMA) else self._with_default(sandbox)

    def default(self, sandbox: Sandbox, schema_name: str = PROFILE_SCHEMA) -> MergePolicy:
        """Return the default policy of a class.

        Raises:
            PolicyUnknown: The class is not Profile, and has no policy.
        """
        found = _default_of(self.all(sandbox), schema_name)
        if found is None:
            raise PolicyUnknown(f"default of {schema_name}")
        return found

    def policy(self, sandbox: Sandbox, policy_id: str) -> MergePolicy:
        """Return a policy by its id.

        Raises:
            PolicyUnknown: The sandbox has none with this id.
        """
        for item in self.all(sandbox):
            if item.id == policy_id:
                return item
        raise PolicyUnknown(policy_id)

    def _stored(self, sandbox: Sandbox) -> tuple[MergePolicy, ...]:
        revision = self._control.revision()
        known = self._known.get(sandbox.number)
        if known is not None and known[0] == revision:
            return known[1]
        with self._lock, self._control.read() as connection:
            policies = _policies(connection, sandbox)
            self._known[sandbox.number] = (revision, policies)
        return policies

    def _with_default(self, sandbox: Sandbox) -> tuple[MergePolicy, ...]:
        body = {
            "name": DEFAULT_NAME,
            "schema": {"name": PROFILE_SCHEMA},
            "identityGraph": {"type": "pdg"},
            "attributeMerge": {"type": TIMESTAMP_ORDERED},
            "isActiveOnEdge": False,
        }
        with self._control.write() as connection:
            if _default_of(_policies(connection, sandbox), PROFILE_SCHEMA) is None:
                self._add(connection, sandbox, body, is_default=True)
        return self._stored(sandbox)

    def create(self, sandbox: Sandbox, body: Mapping[str, Any]) -> MergePolicy:
        """Create a policy.

        Args:
            sandbox: The sandbox.
            body: ``schema``, ``identityGraph`` and ``attributeMerge``; ``name``, ``default`` and ``isActiveOnEdge`` when given.

        Raises:
            PolicyInvalid: A member is missing or not acceptable.
            PolicyLimitReached: The sandbox has five policies for the class.
        """
        stored = self._checked(sandbox, body)
        schema_name = stored["schema"]["name"]
        former = _default_of(self.all(sandbox), schema_name)
        with self._control.write() as connection:
            present = [item for item in _policies(connection, sandbox) if item.schema_name == schema_name]
            if len(present) >= MOST_POLICIES:
                raise PolicyLimitReached(
                    f"The sandbox has {len(present)} merge policies for {schema_name}; {MOST_POLICIES} are allowed.",
                    hint="Delete one first.",
                )
            is_default = _truth(body, "default") or not present
            policy_id = self._add(connection, sandbox, stored, is_default=is_default)
            self._give_way(connection, sandbox, policy_id, stored, is_default=is_default)
        self._tell(sandbox, former, policy_id, is_default=is_default)
        return self.policy(sandbox, policy_id)

    def replace(self, sandbox: Sandbox, policy_id: str, body: Mapping[str, Any]) -> MergePolicy:
        """Replace a policy; read-only members of the body are ignored.

        Raises:
            PolicyUnknown: The sandbox has none with this id.
            PolicyInvalid: A member is missing or not acceptable, or the default one would cease to be default.
        """
        present = self.policy(sandbox, policy_id)
        stored = self._checked(sandbox, body)
        is_default = _truth(body, "default") if "default" in body else present.is_default
        if present.is_default and not is_default:
            hint = "Make another policy the default."
            raise PolicyInvalid("A class always has a default policy.", path="/default", hint=hint)
        if stored["schema"]["name"] != present.schema_name and present.is_default:
            raise PolicyInvalid("The default policy of a class cannot move to another class.", path="/schema/name")
        former = _default_of(self.all(sandbox), stored["schema"]["name"])
        with self._control.write() as connection:
            store.change(
                connection,
                policy_id,
                schema_name=stored["schema"]["name"],
                is_default=is_default,
                version=present.version + 1,
                body=stored,
                updated_at=self._clock.now_ms(),
            )
            self._give_way(connection, sandbox, policy_id, stored, is_default=is_default)
        self._tell(sandbox, former, policy_id, is_default=is_default)
        return self.policy(sandbox, policy_id)

    def delete(self, sandbox: Sandbox, policy_id: str) -> None:
        """Delete a policy.

        Raises:
            PolicyUnknown: The sandbox has none with this id.
            PolicyInUse: It is the default one, active on edge, or used.
        """
        policy = self.policy(sandbox, policy_id)
        if policy.is_active_on_edge:
            raise PolicyInUse(f"Merge policy '{policy.name}' is active on edge.", hint="Set isActiveOnEdge to false first.")
        if policy.is_default:
            raise PolicyInUse(f"Merge policy '{policy.name}' is the default one.", hint="Make another policy the default first.")
        users = list(self._users_of(sandbox, policy_id))
        if users:
            raise PolicyInUse(
                f"Merge policy '{policy.name}' is used by {', '.join(users)}.", hint="Change or delete these first."
            )
        with self._control.write() as connection:
            store.remove(connection, policy_id)

    def warnings(self, sandbox: Sandbox, policy: MergePolicy) -> list[str]:
        """Return what a person should know about a policy that is acceptable all the same."""
        if policy.attribute_merge != DATASET_PRECEDENCE:
            return []
        if any(self._catalog.is_event_dataset(sandbox, item) for item in policy.order):
            return []
        return ["attributeMerge.order names no event dataset: profiles merged by this policy have no events."]

    def _add(self, connection: Connection, sandbox: Sandbox, stored: Mapping[str, Any], *, is_default: bool) -> str:
        policy_id, now_ms = str(uuid.uuid4()), self._clock.now_ms()
        row = {
            "id": policy_id,
            "sandbox": sandbox.number,
            "schema_name": stored["schema"]["name"],
            "is_default": is_default,
            "version": 1,
            "body": dict(stored),
            "created_at": now_ms,
            "updated_at": now_ms,
        }
        store.add(connection, row)
        return policy_id

    def _give_way(
        self, connection: Connection, sandbox: Sandbox, policy_id: str, stored: Mapping[str, Any], *, is_default: bool
    ) -> None:
        """Take "default" and "active on edge" from the policy that had it."""
        now_ms = self._clock.now_ms()
        for row in store.rows(connection, sandbox.number):
            loses_default = is_default and row["is_default"] and row["schema_name"] == stored["schema"]["name"]
            loses_edge = stored["isActiveOnEdge"] and row["body"]["isActiveOnEdge"]
            if row["id"] != policy_id and (loses_default or loses_edge):
                store.change(
                    connection,
                    row["id"],
                    is_default=row["is_default"] and not loses_default,
                    body={**row["body"], "isActiveOnEdge": row["body"]["isActiveOnEdge"] and not loses_edge},
                    version=row["version"] + 1,
                    updated_at=now_ms,
                )

    def _tell(self, sandbox: Sandbox, former: MergePolicy | None, policy_id: str, *, is_default: bool) -> None:
        if is_default and former is not None and former.id != policy_id:
            self._default_moved(sandbox, former.id, policy_id)

    def _checked(self, sandbox: Sandbox, body: Mapping[str, Any]) -> dict[str, Any]:
        schema_name = _member(body, "schema", "name")
        if not schema_name.startswith(_SCHEMA_PREFIX):
            raise PolicyInvalid(
                f"'{schema_name}' is no class name.", path="/schema/name", hint=f"Use {PROFILE_SCHEMA} for profiles."
            )
        graph = _one_of(_member(body, "identityGraph", "type"), ("pdg", "none"), "/identityGraph/type")
        merge = _one_of(_member(body, "attributeMerge", "type"), (TIMESTAMP_ORDERED, DATASET_PRECEDENCE), "/attributeMerge/type")
        attribute_merge: dict[str, Any] = {"type": merge}
        if merge == DATASET_PRECEDENCE:
            attribute_merge["order"] = self._checked_order(sandbox, body["attributeMerge"].get("order"))
        name = body.get("name", "")
        if not isinstance(name, str):
            raise PolicyInvalid("The name of a merge policy is a text.", path="/name")
        return {
            "name": name,
            "schema": {"name": schema_name},
            "identityGraph": {"type": graph},
            "attributeMerge": attribute_merge,
            "isActiveOnEdge": _truth(body, "isActiveOnEdge"),
        }

    def _checked_order(self, sandbox: Sandbox, order: Any) -> list[str]:
        path = "/attributeMerge/order"
        if not isinstance(order, list) or not order or not all(isinstance(item, str) for item in order):
            raise PolicyInvalid("dataSetPrecedence needs an order: dataset ids, the strongest first.", path=path)
        ids: list[str] = list(dict.fromkeys(order))
        known = {item.id: item for item in self._catalog.datasets(sandbox)}
        for index, dataset_id in enumerate(ids):
            dataset = known.get(dataset_id)
            if dataset is None:
                raise PolicyInvalid(f"There is no dataset '{dataset_id}'.", path=f"{path}/{index}")
            if not dataset.is_profile_enabled:
                raise PolicyInvalid(
                    f"Dataset '{dataset.name}' ({dataset_id}) is not enabled for Profile.", path=f"{path}/{index}"
                )
        events = sum(self._catalog.is_event_dataset(sandbox, item) for item in ids)
        if max(events, len(ids) - events) > _MOST_DATASETS_OF_A_KIND:
            raise PolicyInvalid(
                f"A precedence names at most {_MOST_DATASETS_OF_A_KIND} profile and {_MOST_DATASETS_OF_A_KIND} event datasets.",
                path=path,
            )
        return ids


def _policies(connection: Connection, sandbox: Sandbox) -> tuple[MergePolicy, ...]:
    return tuple(_policy(row) for row in store.rows(connection, sandbox.number))


def _policy(row: Mapping[str, Any]) -> MergePolicy:
    body = row["body"]
    return MergePolicy(
        id=row["id"],
        name=body["name"],
        schema_name=row["schema_name"],
        graph=body["identityGraph"]["type"],
        attribute_merge=body["attributeMerge"]["type"],
        order=tuple(body["attributeMerge"].get("order", ())),
        is_default=row["is_default"],
        is_active_on_edge=body["isActiveOnEdge"],
        version=row["version"],
        body=body,
        updated_at=row["updated_at"],
    )


def _default_of(policies: Sequence[MergePolicy], schema_name: str) -> MergePolicy | None:
    return next((item for item in policies if item.is_default and item.schema_name == schema_name), None)


def _member(body: Mapping[str, Any], outer: str, inner: str) -> str:
    value = body.get(outer)
    found = value.get(inner) if isinstance(value, Mapping) else None
    if not isinstance(found, str) or not found:
        raise PolicyInvalid(f"A merge policy needs '{outer}' with a '{inner}'.", path=f"/{outer}/{inner}")
    return found


def _one_of(value: str, choices: tuple[str, ...], path: str) -> str:
    if value not in choices:
        raise PolicyInvalid(f"'{value}' is not possible here; use {' or '.join(choices)}.", path=path)
    return value


def _truth(body: Mapping[str, Any], member: str) -> bool:
    value = body.get(member, False)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise PolicyInvalid(f"'{member}' is true or false.", path=f"/{member}")
    return value
