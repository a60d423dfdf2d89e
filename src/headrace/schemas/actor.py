"""Who changes the registry."""

import msgspec

from headrace.model import Sandbox


class Actor(msgspec.Struct, frozen=True):
    """The caller of a change, for stamps and the audit trail.

    Attributes:
        client_id: The client.
        user_id: Its technical account.
        request_id: Id of the request.
    """

    client_id: str = ""
    user_id: str = ""
    request_id: str = ""

    def created(self) -> dict[str, str]:
        """Return the origin of a thing that this actor creates."""
        return {"createdClientId": self.client_id, "createdUserId": self.user_id, **self.modified()}

    def modified(self) -> dict[str, str]:
        """Return the part of an origin that a change by this actor replaces."""
        return {"lastModifiedClientId": self.client_id, "lastModifiedUserId": self.user_id}


SYSTEM = Actor("headrace", "headrace", "")


def change_entry(
    sandbox: Sandbox, actor: Actor, resource_id: str, changed_at: int, updates: list[dict[str, object]]
) -> dict[str, object]:
    """Return an entry of the audit trail as it is stored."""
    return {
        "id": resource_id,
        "updatedUser": actor.user_id,
        "imsOrg": sandbox.organization_id,
        "updated": changed_at,
        "requestId": actor.request_id,
        "clientId": actor.client_id,
        "sandboxId": sandbox.id,
        "updates": updates,
    }
