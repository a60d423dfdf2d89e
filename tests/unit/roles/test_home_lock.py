"""Two servers never work on one home folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headrace.roles.home_lock import HomeInUse, home_lock

HOLDER = """
import os, sys, time
from pathlib import Path
from headrace.roles.home_lock import home_lock
with home_lock(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(30)
        os._exit(0)
    print(child, flush=True)
    time.sleep(30)
"""


def test_second_server_is_refused_with_the_process_id_of_the_first(tmp_path: Path) -> None:
    refused = pytest.raises(HomeInUse, match=rf"process id {os.getpid()}\).*--home")
    with home_lock(tmp_path), refused, home_lock(tmp_path, wait_seconds=0):
        pytest.fail("both hold it")


def test_lock_is_free_after_its_holder_has_ended(tmp_path: Path) -> None:
    with home_lock(tmp_path):
        pass
    with home_lock(tmp_path, wait_seconds=0):
        assert (tmp_path / "run" / "lock").read_text() == str(os.getpid())


def test_another_home_folder_has_a_lock_of_its_own(tmp_path: Path) -> None:
    with home_lock(tmp_path / "a"), home_lock(tmp_path / "b", wait_seconds=0):
        pass


def test_roles_of_a_killed_server_keep_the_lock_until_they_end(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        refused = pytest.raises(HomeInUse, match=rf"process id {holder.pid} has ended, but roles of it still work")
        with refused, home_lock(tmp_path, wait_seconds=0):
            pytest.fail("a role still holds it")
        os.kill(child, signal.SIGKILL)
        begin = time.monotonic()
        with home_lock(tmp_path):
            assert time.monotonic() - begin < 5


def test_program_started_by_a_role_does_not_keep_the_lock(tmp_path: Path) -> None:
    with home_lock(tmp_path):
        program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with program, home_lock(tmp_path, wait_seconds=5):  # the kernel closes what is not passed on a moment later
        pass
