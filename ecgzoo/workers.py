"""Work that several processes share, answered in order. They end with this process, however it ends."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from ecgzoo.errors import DataError

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def in_order(
    workers: int, make: Callable[[], Callable[[Task], Answer]], tasks: Iterable[Task], *, if_ended: str
) -> Iterator[Answer]:
    """The answers to `tasks`, in their order. Memory does not grow with the number of tasks.

    Args:
        workers: how many processes.
        make: called once by each process; what it returns answers a task. A process imports it by its name.
        tasks: taken as they are needed.
        if_ended: what the error says that the user should do.

    Raises:
        DataError: a process was ended from outside.
    """
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (make,)) as pool:
        running: deque[Future[Answer]] = deque()
        try:
            for task in tasks:
                running.append(pool.submit(_answer, task))
                if len(running) > 2 * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        except BrokenProcessPool as error:
            raise DataError(
                f"a process of --workers was ended from outside, perhaps because memory ran out; {if_ended}"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_answers: Callable[[Any], Any] | None = None  # of a worker


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    def end_with_parent() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    global _answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _answers = make()


def _answer(task: Any) -> Any:
    assert _answers is not None
    return _answers(task)
