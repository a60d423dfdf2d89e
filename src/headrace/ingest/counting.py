"""What the inlets have taken, counted durably: the ends of the topics."""

from headrace.storage.log import Topic


class InletCounter:
    """Counts for the server's progress."""

    def __init__(self, records: Topic, quarantine: Topic) -> None:
        self._records = records
        self._quarantine = quarantine

    def accepted(self) -> int:
        """Return how many entries were ever accepted; a batch of files counts as one."""
        return self._records.next_offset()

    def quarantined(self) -> int:
        """Return how many streamed messages were ever set aside with their reasons."""
        return self._quarantine.next_offset()
