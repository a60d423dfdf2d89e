"""Headrace's own addition: the messages of a dataflow that were given up, with their reasons, and sending them again."""

from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import Response

from headrace.activation.dead_letters import DeadLetter
from headrace.api.body import JsonObject
from headrace.api.context import Context, context_of
from headrace.api.paging import limit_of
from headrace.api.wire.answer import answer
from headrace.clock import iso_millis
from headrace.errors import InvalidInput

router = APIRouter(prefix="/headrace/flows", tags=["Headrace"])

_DEFAULT_LIMIT, _MOST = 100, 1000


class SequencesInvalid(InvalidInput):
    """What is to be sent again is not named by numbers."""

    code = "dead_letter_sequences_invalid"


@router.get("/{flow_id}/dead-letters")
def list_dead_letters(flow_id: str, after: int = -1, limit: str = "", context: Context = Depends(context_of)) -> Response:
    """List the messages that a streaming dataflow gave up within seven days, oldest change first.

    ``count`` is the number of all of them; ``next`` is what ``after`` must be for the next page, null on the last one.
    """
    flow = context.services.flow_service.flows.get(context.sandbox, flow_id)
    size = limit_of(limit, default=_DEFAULT_LIMIT, most=_MOST)
    found = context.services.dead_letters.list(flow.id, after=after, limit=size + 1)
    shown = found[:size]
    return answer(
        {
            "items": [_wire(letter) for letter in shown],
            "count": context.services.dead_letters.count(flow.id),
            "next": shown[-1].sequence if len(found) > size else None,
        }
    )


@router.post("/{flow_id}/dead-letters/replay")
def replay_dead_letters(flow_id: str, body: JsonObject, context: Context = Depends(context_of)) -> Response:
    """Send messages again: those of ``{"sequences": […]}``, or all with ``{}``; the answer tells how many there were."""
    flow = context.services.flow_service.flows.get(context.sandbox, flow_id)
    sequences = body.get("sequences")
    if sequences is not None and not _are_numbers(sequences):
        raise SequencesInvalid(
            "'sequences' must be an array of the numbers that the list shows.",
            path="/sequences",
            hint="Leave it out to send all again.",
        )
    return answer({"replayed": context.services.dead_letters.replay(flow.id, sequences)}, 202)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value)


def _wire(letter: DeadLetter) -> dict[str, Any]:
    return {
        "sequence": letter.sequence,
        "messageId": letter.message_id,
        "code": letter.code,
        "reason": letter.reason,
        "status": letter.status or None,
        "attempts": letter.attempts,
        "firstFailedAt": iso_millis(letter.first_failed_at_ms),
        "deadAt": iso_millis(letter.dead_at_ms),
        "body": msgspec.json.decode(letter.body),
    }
