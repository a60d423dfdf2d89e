"""Topics with offsets: every arrow of the data's way is one."""

from headrace.storage.log.base import Log, Topic, Wakeup

__all__ = ["Log", "Topic", "Wakeup"]
