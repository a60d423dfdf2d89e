"""Identity namespaces: the standard ones, and a sandbox's own. Source: Identity Service, "Namespaces"."""

import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from headrace.clock import Clock
from headrace.errors import Conflict, InvalidInput, NotFound
from headrace.identity import namespace_store as store
from headrace.model import Sandbox
from headrace.storage.control import ControlStore

FIRST_CUSTOM_ID = 10_000_000
ID_TYPES = (
    "COOKIE",
    "CROSS_DEVICE",
    "DEVICE",
    "EMAIL",
    "MOBILE",
    "NON_PEOPLE",
    "PHONE",
    "PARTNER",
    "B2B_ACCOUNT",
    "B2B_OPPORTUNITY",
    "B2B_CAMPAIGN",
    "B2B_CAMPAIGN_MEMBER",
    "B2B_MARKETING_LIST",
    "B2B_MARKETING_LIST_MEMBER",
    "B2B_ACCOUNT_PERSON",
    "B2B_OPPORTUNITY_PERSON",
)
_CODE = re.compile(r"[A-Za-z0-9_]+")
_STANDARD_SINCE_MS = 1_483_228_800_000


class NamespaceInvalid(InvalidInput):
    """A property of a namespace is missing or not acceptable."""

    code = "namespace_invalid"


class NamespaceFixed(InvalidInput):
    """Code and type of a namespace never change, and standard namespaces do not change at all."""

    code = "namespace_fixed"


class NamespaceUnknown(NotFound):
    """The sandbox has no such namespace."""

    code = "namespace_unknown"
    wire_code = "UIS-4004"
    wire_title = "Namespace not found"

    def __init__(self, namespace_id: object, organization_id: str) -> None:
        super().__init__(f"Namespace id not found for given IMS Org {organization_id}: {namespace_id}", path="id")


class NamespaceCodeTaken(Conflict):
    """Another namespace of the sandbox, or a standard one, has this code."""

    code = "namespace_code_taken"
    wire_code = "UIS-4001"
    wire_title = "NAMESPACE_CODE_CONFLICT"

    def __init__(self, code: str) -> None:
        text = "Namespace code already exists. Please use a different code"
        super().__init__(
            text, path="/code", hint=f"'{code}' is taken; case does not count.", report_code="INTEGRATION_CODE_EXISTS"
        )


class NamespaceNameTaken(Conflict):
    """Another namespace of the sandbox, or a standard one, has this name."""

    code = "namespace_name_taken"
    wire_code = "UIS-4002"
    wire_title = "NAMESPACE_NAME_CONFLICT"

    def __init__(self, name: str) -> None:
        text = "Namespace name already exists. Please use a different name"
        super().__init__(text, path="/name", hint=f"'{name}' is taken.", report_code="INTEGRATION_NAME_EXISTS")


@dataclass(frozen=True)
class Namespace:
    """One identity namespace.

    Attributes:
        id: Number (``nsid``).
        code: Identity symbol, as in identity maps.
        name: For people.
        id_type: What its identities stand for, in upper case (`ID_TYPES`).
        custom: Whether the tenant made it.
        description: For people.
        created_at: Epoch ms.
        updated_at: Epoch ms.
    """

    id: int
    code: str
    name: str
    id_type: str
    custom: bool
    description: str
    created_at: int
    updated_at: int


def _standard(number: int, code: str, name: str, id_type: str) -> Namespace:
    return Namespace(number, code, name, id_type, False, "", _STANDARD_SINCE_MS, _STANDARD_SINCE_MS)


STANDARD_NAMESPACES = (
    _standard(0, "CORE", "CORE", "COOKIE"),
    _standard(4, "ECID", "ECID", "COOKIE"),
    _standard(6, "Email", "Email", "EMAIL"),
    _standard(7, "Phone", "Phone", "PHONE"),
    _standard(8, "WAID", "Windows AID", "DEVICE"),
    _standard(9, "TNTID", "TNTID", "COOKIE"),
    _standard(10, "AAID", "Adobe Analytics (Legacy ID)", "COOKIE"),
    _standard(11, "Email_LC_SHA256", "Emails (SHA256, lowercased)", "EMAIL"),
    _standard(13, "Phone_E164", "Phone (E.164)", "PHONE"),
    _standard(14, "Phone_SHA256", "Phone (SHA256)", "PHONE"),
    _standard(15, "PHONE_SHA256_E164", "Phone (SHA256_E.164)", "PHONE"),
    _standard(411, "AdCloud", "AdCloud", "COOKIE"),
    _standard(20914, "GAID", "Google Ad ID (GAID)", "DEVICE"),
    _standard(20915, "IDFA", "Apple IDFA (ID for Advertisers)", "DEVICE"),
    _standard(20920, "FCM", "Firebase Cloud Messaging", "DEVICE"),
    _standard(20921, "APNS", "Apple Push Notification service", "DEVICE"),
)


class _Directory:
    """The namespaces of one sandbox at one revision, by what they are looked up by."""

    def __init__(self, namespaces: tuple[Namespace, ...]) -> None:
        self.all = namespaces
        self.by_id = {item.id: item for item in namespaces}
        self.by_code = {item.code: item for item in namespaces}
        self.by_folded = {item.code.lower(): item for item in namespaces}


class Namespaces:
    """Reads and changes namespaces; safe between threads."""

    def __init__(self, control: ControlStore, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._known: dict[int, tuple[int, _Directory]] = {}
        self._lock = threading.Lock()

    def _directory(self, sandbox: Sandbox) -> _Directory:
        revision = self._control.revision()
        known = self._known.get(sandbox.number)
        if known is not None and known[0] == revision:
            return known[1]
        with self._lock, self._control.read() as connection:
            directory = _Directory(_present(connection, sandbox))
            self._known[sandbox.number] = (revision, directory)
        return directory

    def all(self, sandbox: Sandbox) -> tuple[Namespace, ...]:
        """Return the standard namespaces, then the sandbox's own, each by id."""
        return self._directory(sandbox).all

    def by_id(self, sandbox: Sandbox, namespace_id: int) -> Namespace | None:
        """Return the namespace with a number, None when the sandbox has none."""
        return self._directory(sandbox).by_id.get(namespace_id)

    def by_code(self, sandbox: Sandbox, code: str) -> Namespace | None:
        """Return the namespace with a code: the exact one, else the one that differs in case alone, else None."""
        directory = self._directory(sandbox)
        return directory.by_code.get(code) or directory.by_folded.get(code.lower())

    def code_of(self, sandbox: Sandbox, name: str) -> str | None:
        """Return the code of a namespace given by its code or by its number as text, None when the sandbox has none."""
        found = self.by_code(sandbox, name) or (self.by_id(sandbox, int(name)) if name.isdecimal() else None)
        return found.code if found else None

    def get(self, sandbox: Sandbox, namespace_id: int) -> Namespace:
        """Return the namespace with a number.

        Raises:
            NamespaceUnknown: The sandbox has none.
        """
        found = self.by_id(sandbox, namespace_id)
        if found is None:
            raise NamespaceUnknown(namespace_id, sandbox.organization_id)
        return found

    def create(self, sandbox: Sandbox, body: Mapping[str, Any]) -> Namespace:
        """Create a namespace of the tenant.

        Args:
            sandbox: The sandbox.
            body: ``name``, ``code`` and ``idType`` (any case); ``description`` when there is one.

        Raises:
            NamespaceInvalid: A property is missing or not acceptable.
            NamespaceCodeTaken: The code exists, ignoring case.
            NamespaceNameTaken: The name exists.
        """
        name, code, id_type = _text(body, "name"), _text(body, "code"), _id_type(body)
        if not _CODE.fullmatch(code):
            raise NamespaceInvalid("code can only contain one word with letters, digits and underscores", path="/code")
        now_ms = self._clock.now_ms()
        with self._control.write() as connection:
            _refuse_taken(_present(connection, sandbox), name, code=code)
            number = store.next_id(connection, FIRST_CUSTOM_ID)
            row = {
                "id": number,
                "sandbox": sandbox.number,
                "code": code,
                "code_folded": code.lower(),
                "name": name,
                "id_type": id_type,
                "description": _description(body),
                "created_at": now_ms,
                "updated_at": now_ms,
            }
            store.add(connection, row)
        return self.get(sandbox, number)

    def update(self, sandbox: Sandbox, namespace_id: int, body: Mapping[str, Any]) -> Namespace:
        """Replace name and description of a namespace of the tenant.

        Raises:
            NamespaceUnknown: The sandbox has no namespace with this number.
            NamespaceInvalid: A property is missing or not acceptable.
            NamespaceFixed: Code or type differ from the stored ones, or the namespace is a standard one.
            NamespaceNameTaken: Another namespace has the name.
        """
        present = self.get(sandbox, namespace_id)
        name, code, id_type = _text(body, "name"), _text(body, "code"), _id_type(body)
        if (code, id_type) != (present.code, present.id_type):
            raise NamespaceFixed("code and idType are non editable fields", error="INVALID_REQUEST_PARAMS")
        if not present.custom:
            raise NamespaceFixed("Standard namespaces cannot be changed", error="INVALID_REQUEST_PARAMS")
        with self._control.write() as connection:
            _refuse_taken(_present(connection, sandbox), name, own_id=namespace_id)
            description = _description(body)
            store.change(connection, namespace_id, name=name, description=description, updated_at=self._clock.now_ms())
        return self.get(sandbox, namespace_id)


def _present(connection: Connection, sandbox: Sandbox) -> tuple[Namespace, ...]:
    return STANDARD_NAMESPACES + tuple(_namespace(row) for row in store.rows(connection, sandbox.number))


def _refuse_taken(present: Iterable[Namespace], name: str, *, code: str = "", own_id: int | None = None) -> None:
    for item in present:
        if code and item.code.lower() == code.lower():
            raise NamespaceCodeTaken(code)
        if item.name == name and item.id != own_id:
            raise NamespaceNameTaken(name)


def _namespace(row: Mapping[str, Any]) -> Namespace:
    return Namespace(
        row["id"], row["code"], row["name"], row["id_type"], True, row["description"], row["created_at"], row["updated_at"]
    )


def _text(body: Mapping[str, Any], member: str) -> str:
    value = body.get(member)
    if not isinstance(value, str) or not value.strip():
        raise NamespaceInvalid(f"Please provide a valid value of {member}", path=f"/{member}")
    return value.strip()


def _description(body: Mapping[str, Any]) -> str:
    value = body.get("description")
    return value if isinstance(value, str) else ""


def _id_type(body: Mapping[str, Any]) -> str:
    value = body.get("idType")
    folded = value.upper() if isinstance(value, str) else ""
    if folded not in ID_TYPES:
        valid = ", ".join(ID_TYPES)
        raise NamespaceInvalid(f"Please provide a valid value of idType. Valid values are: [{valid}]", path="/idType")
    return folded
