"""The parameters that all streaming profile exports share."""

from dataclasses import dataclass

from headrace.config import setting


@dataclass(frozen=True, kw_only=True)
class ExportTriggers:
    """Which causes make a message; one with several causes is sent when at least one of them is on."""

    attributes: bool = setting("A mapped attribute was written.", default=True)
    audiences: bool = setting("A mapped audience was entered or left.", default=True)
    external_audiences: bool = setting("A mapped external audience was entered or left.", default=True)
    identities: bool = setting("An identity was added or removed.", default=True)
    unchanged_attributes: bool = setting("A mapped attribute was written with the value it had.", default=True)


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """What makes a message and what stands in it, whatever the destination."""

    include_segment_names: bool = setting("Add the names of mapped audiences.", default=False)
    include_segment_timestamps: bool = setting("Add when mapped audiences and their mappings were made.", default=False)
    export_triggers: ExportTriggers = setting("Which causes make a message.", default=ExportTriggers())
    retry_policy: str = setting(
        "`standard` gives up after two retries, `persistent` never.", default="standard", one_of=("standard", "persistent")
    )
