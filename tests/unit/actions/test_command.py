"""The action command, with real processes: no shell, no leftovers, no surprises from a former life."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from remediator.actions import children
from remediator.actions.command import Command
from remediator.actions.targets import CommandTargets
from remediator.core.outcomes import Outcome, Presence, Result
from remediator.core.params import Json
from remediator.ports import Call

MakeCall = Callable[..., Call]
PYTHON = sys.executable


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def command(locks: Path) -> Command:
    allow = (PYTHON, "/bin/sh", "/no/such/program")
    return Command(CommandTargets(allow=allow, locks=locks), lambda text: text.replace("hunter2", "[redacted]"))


@pytest.fixture
def python(command: Command, make_call: MakeCall) -> Callable[..., object]:
    """Runs a few lines of Python as the command."""

    async def run(code: str, *args: str, seconds: float = 20.0, **more: Json) -> Outcome:
        argv: list[Json] = [PYTHON, "-I", "-c", textwrap.dedent(code), *args]
        return await command.perform(make_call({"argv": argv, **more}, timeout=seconds))

    return run


Python = Callable[..., "asyncio.Future[Outcome]"]


async def test_every_item_arrives_as_one_argument(python: Python) -> None:
    hostile = ["$(reboot)", "a; rm -rf /", "`id`", "two words", "'", '"', "*", "{{ labels.x }}", "ünï"]
    outcome = await python("import sys; print(sys.argv[1:])", *hostile)
    assert outcome.result is Result.OK
    assert outcome.evidence["output"] == f"{hostile}\n"


async def test_the_environment_is_empty_but_for_path_and_lang(python: Python, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    outcome = await python("import os; print(sorted(os.environ))")
    assert (
        outcome.evidence["output"] == "['LANG', 'PATH']\n"
        or outcome.evidence["output"] == "['LANG', 'LC_CTYPE', 'PATH']\n"
    )


async def test_standard_input_is_empty_and_the_session_its_own(python: Python) -> None:
    outcome = await python("import os, sys; print(repr(sys.stdin.read()), os.getpid() == os.getsid(0))")
    assert outcome.evidence["output"] == "'' True\n"


@pytest.mark.parametrize(
    ("code", "result"),
    [(0, Result.OK), (1, Result.FAILED), (3, Result.FAILED), (126, Result.NOT_ISSUED), (127, Result.NOT_ISSUED)],
)
async def test_an_exit_code_says_what_became_of_it(python: Python, code: int, result: Result) -> None:
    outcome = await python(f"raise SystemExit({code})")
    assert outcome.result is result


async def test_declared_exit_codes_mean_success(python: Python) -> None:
    assert (await python("raise SystemExit(3)", ok_exit=["0", "3"])).result is Result.OK


async def test_a_program_that_is_not_there_was_not_issued(command: Command, make_call: MakeCall) -> None:
    outcome = await command.perform(make_call({"argv": ["/no/such/program"]}))
    assert outcome.result is Result.NOT_ISSUED


async def test_a_killed_program_is_unknown(python: Python) -> None:
    outcome = await python("import os; os.kill(os.getpid(), 9)")
    assert outcome.result is Result.UNKNOWN
    assert "signal 9" in outcome.sentence


async def test_secrets_and_control_characters_stay_out_of_the_output(python: Python) -> None:
    outcome = await python(r"print('\x1b[31mpassword hunter2\x00 \x9b done')")
    assert outcome.evidence["output"] == "[31mpassword [redacted]  done\n"


async def test_a_flood_of_output_keeps_its_beginning_and_its_end(python: Python) -> None:
    outcome = await python("import sys; sys.stdout.write('first' + 'x' * 5_000_000 + 'last')")
    output = str(outcome.evidence["output"])
    assert output.startswith("first")
    assert output.endswith("last")
    assert "bytes left out" in output
    assert len(output) < children.KEPT + 100


# A shell as the program of a test: it is up within milliseconds. What it starts inherits its deafness.
GRANDCHILD = """
printf up
[ "$1" = deaf ] && trap "" TERM
sleep 600 &
echo $! > "$2"
wait
"""


@pytest.mark.parametrize(("manner", "grace", "name"), [("meek", 60.0, "SIGTERM"), ("deaf", 0.3, "SIGKILL")])
async def test_an_overdue_command_is_stopped_with_all_it_started(
    command: Command,
    make_call: MakeCall,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    manner: str,
    grace: float,
    name: str,
) -> None:
    monkeypatch.setattr(children, "GRACE", grace)
    argv = ["/bin/sh", "-c", GRANDCHILD, "sh", manner, str(tmp_path / "pid")]
    outcome = await command.perform(make_call({"argv": argv}, timeout=2.0))
    assert outcome.result is Result.UNKNOWN
    assert name in outcome.sentence
    assert outcome.evidence["output"] == "up"
    assert is_over(pid_in(tmp_path / "pid"))


def pid_in(path: Path) -> int:
    """Blocks on a FIFO until somebody writes into it."""
    return int(path.read_text(encoding="ascii"))


def is_over(pid: int) -> bool:
    """Whether the process ends within ten seconds."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10.0)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("turns", [0, 100], ids=["while it starts", "while it runs"])
async def test_a_cancelled_command_leaves_no_process(
    command: Command, make_call: MakeCall, tmp_path: Path, turns: int
) -> None:
    os.mkfifo(tmp_path / "pid")
    argv = ["/bin/sh", "-c", GRANDCHILD, "sh", "deaf", str(tmp_path / "pid")]
    running = asyncio.ensure_future(command.perform(make_call({"argv": argv})))
    pid = await asyncio.to_thread(pid_in, tmp_path / "pid")
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(is_over, pid)


async def test_a_child_of_a_former_life_is_seen_while_it_lives(
    command: Command, make_call: MakeCall, locks: Path, tmp_path: Path
) -> None:
    call = make_call({"argv": [PYTHON, "-c", "pass"]})
    program = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from remediator.actions.command import Command
        from remediator.actions.targets import CommandTargets
        lock = Command(CommandTargets(locks=Path(sys.argv[1])), str)._lock(sys.argv[2])
        if os.fork() == 0:
            os.set_inheritable(lock, True)
            os.execv("/bin/sh", ["/bin/sh", "-c", "echo $$; exec sleep 600"])
        os._exit(1)  # as in a crash: the child lives on
        """
    )
    former = subprocess.Popen(  # noqa: ASYNC220
        [PYTHON, "-c", program, str(locks), call.key], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert former.stdout is not None
        pid = int(former.stdout.readline())
        former.wait()
        found = await command.reconcile(call)
        assert found.presence is Presence.UNDECIDED
        assert found.running
        assert found.sentence == "the command of the interrupted attempt still runs (it holds its lock)"
        again = await command.perform(call)
        assert again.result is Result.FAILED
        assert "not started twice" in again.sentence
    finally:
        os.killpg(former.pid, signal.SIGKILL)
        assert former.stdout is not None
        former.stdout.close()
    assert is_over(pid)  # a process lets go of its files before it counts as ended
    over = await command.reconcile(call)
    assert over.presence is Presence.UNDECIDED
    assert not over.running
    assert over.sentence == "no process of the command of the interrupted attempt is left; how it ended is not known"


@pytest.mark.parametrize(
    "argv",
    [None, [], [""], ["python3"], ["/bin/bash", "-c", "id"], [f"{PYTHON}/../python3"], [PYTHON, 3], "ls -l"],
)
async def test_a_program_that_is_not_allowed_is_refused(command: Command, make_call: MakeCall, argv: Json) -> None:
    assert command.faults({"argv": argv})
    assert (await command.perform(make_call({"argv": argv}))).result is Result.FAILED


@pytest.mark.parametrize("codes", [["x"], ["256"], ["-1"], [], "0"])
def test_exit_codes_that_are_none_are_refused(command: Command, codes: Json) -> None:
    assert command.faults({"argv": [PYTHON], "ok_exit": codes})
