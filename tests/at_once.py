"""An executor without threads."""

from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Runs what it is given before it answers."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
        done: Future[Any] = Future()
        try:
            done.set_result(function(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done
