"""Completion as a shell does it: a real bash loads the printed script and calls the function with what was typed."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.app.main import NOUNS
from holdfast.cli.completion import LIMIT_S, SHELLS, ask_quietly

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))

from arraylab import Lab

ROOT = Path(__file__).resolve().parents[2]
SLACK_S = 1.0
"""What a busy machine may add; well below the two and three seconds that store and array are waited for otherwise."""
ATTEMPTS = 20

ASK = """
source <(holdfast completion bash)
complete -p holdfast | grep -q -- '-F _holdfast_completion' || exit 9
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_holdfast_completion holdfast "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def environment(directory: Path, **more: str) -> dict[str, str]:
    """The variables of a shell in which ``holdfast`` is this one and nothing of Holdfast's is set but ``more``."""
    program = directory / "bin" / "holdfast"
    program.parent.mkdir(exist_ok=True)
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m holdfast "$@"\n')
        program.chmod(0o755)
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "COMP"))}
    return {**bare, "PATH": f"{program.parent}:{os.environ['PATH']}", **more}


def complete(directory: Path, *words: str, **more: str) -> list[str]:
    """Return what bash offers after ``holdfast`` and ``words``, the last of which is being typed."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "ask", "holdfast", *words],
        capture_output=True,
        text=True,
        env=environment(directory, **more),
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == "", "completion is never an error"
    return done.stdout.split()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with the cluster of the example."""
    url = f"embedded://{tmp_path_factory.mktemp('store')}/cluster.db"
    words = [sys.executable, "-m", "holdfast", "cluster", "load", str(ROOT / "examples/two-sites"), "--store", url]
    subprocess.run(words, check=True, capture_output=True)
    return url


def test_nouns_verbs_options_and_choices(tmp_path: Path) -> None:
    assert complete(tmp_path, "") == list(NOUNS)
    assert complete(tmp_path, "gr") == ["group"]
    assert complete(tmp_path, "group", "sw") == ["switch"]
    assert "--wait" in complete(tmp_path, "group", "switch", "--")
    assert complete(tmp_path, "drill", "--until", "di") == ["disaster"]
    assert complete(tmp_path, "server", "object", "") == ["copy", "list", "mark"]


def test_names_come_from_the_store(tmp_path: Path, store: str) -> None:
    named = {"HOLDFAST_STORE": store}
    assert patiently(tmp_path, ("group", "switch", "V"), named) == ["VCS_Cluster"]
    assert patiently(tmp_path, ("group", "switch", "VCS_Cluster", "--to", "hostc"), named) == ["hostc"]
    assert patiently(tmp_path, ("resource", "probe", "mnt"), named) == ["mnt_VCS", "mnt_VCS1"]
    assert patiently(tmp_path, ("snapshot", "list", ""), named) == ["VCS_Cluster"]
    assert patiently(tmp_path, ("group", "state", "--store", store, "V"), {}) == ["VCS_Cluster"]
    file = tmp_path / "hosta.toml"
    file.write_text(f'store = "{store}"\n')
    systems = patiently(tmp_path, ("fence", "confirm", "h"), {"HOLDFAST_SYSTEM_CONFIG": str(file)})
    assert systems == ["hosta", "hostb", "hostc", "hostd"]


def test_without_a_store_there_are_no_names_and_no_store_is_made(tmp_path: Path) -> None:
    assert complete(tmp_path, "group", "switch", "") == []
    missing = tmp_path / "missing" / "cluster.db"
    assert complete(tmp_path, "group", "switch", "", HOLDFAST_STORE=f"embedded://{missing}") == []
    assert not missing.parent.exists()
    broken = tmp_path / "broken.db"
    broken.write_bytes(random.Random(7).randbytes(8192))
    assert complete(tmp_path, "group", "switch", "", HOLDFAST_STORE=f"embedded://{broken}") == []


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_silent_store_or_array_is_not_waited_for(tmp_path: Path, silent: str) -> None:
    ours = [sys.executable, "-m", "holdfast", "authority"]
    subprocess.run([*ours, "create", "--directory", str(tmp_path / "ca")], check=True, capture_output=True)
    tls = str(tmp_path / "tls")
    words = [*ours, "issue", "admin:test", "--authority", str(tmp_path / "ca"), "--into", tls]
    subprocess.run(words, check=True, capture_output=True)
    at = {"HOLDFAST_STORE": f"served://{silent}", "HOLDFAST_ARRAY": silent, "HOLDFAST_IDENTITY": tls}

    def seconds(*words: str) -> float:
        began = time.monotonic()
        assert complete(tmp_path, *words, **at) == []
        return time.monotonic() - began

    for noun, verb in (("group", "switch"), ("volume", "digest")):
        unasked = min(seconds(noun, "--no-such") for _ in range(3))
        assert min(seconds(noun, verb, "") for _ in range(3)) < unasked + LIMIT_S + SLACK_S


def test_volumes_and_pairs_come_from_the_array(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    try:
        lab.start()
        for box in (lab.a, lab.b):
            box.client.change("mkvolume", ["1260", "1261", "1360"], size_bytes=1 << 20)
        lab.a.client.change("mkflash", ["1260:1360"], record=True, persist=True)
        at = {"HOLDFAST_ARRAY": lab.a.management, "HOLDFAST_IDENTITY": str(lab.identity)}
        assert patiently(tmp_path, ("volume", "digest", "126"), at) == ["1260", "1261"]
        assert patiently(tmp_path, ("volume", "remove", "1260", "13"), at) == ["1360"]
        assert patiently(tmp_path, ("flash", "remove", "12"), at) == ["1260:1360"]
        assert patiently(tmp_path, ("flash", "remove", "1260", ":", "13"), at) == ["1360"]
        assert patiently(tmp_path, ("flash", "remove", "1260", ":"), at) == ["1360"]
    finally:
        lab.stop()


def patiently(directory: Path, words: tuple[str, ...], variables: dict[str, str]) -> list[str]:
    """Ask again while nothing comes: on a busy machine an answer may need more than the limit, which is no error."""
    for _ in range(ATTEMPTS):
        if found := complete(directory, *words, **variables):
            return found
    return []


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shells_script_and_protocol(shell: str, tmp_path: Path) -> None:
    env = environment(tmp_path)
    script = subprocess.run(
        ["holdfast", "completion", shell], capture_output=True, text=True, env=env, check=True
    ).stdout
    assert f"_HOLDFAST_COMPLETE={shell}_complete" in script
    typed = {"COMP_WORDS": "holdfast gro", "COMP_CWORD": "gro" if shell == "fish" else "1"}
    answer = subprocess.run(
        ["holdfast"],
        capture_output=True,
        text=True,
        env={**env, **typed, "_HOLDFAST_COMPLETE": f"{shell}_complete"},
        check=True,
    )
    assert "group" in answer.stdout
    assert "volume" not in answer.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def children() -> set[str]:
    """The processes that this one has started and not yet waited for."""
    return set(" ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split())


def test_ask_quietly_bounds_what_it_asks() -> None:
    before = children()  # of other tests in this process
    assert ask_quietly(lambda: ["b", "a"], 5.0) == ["a", "b"]
    many = [f"volume{number:06}" for number in range(50_000)]
    assert ask_quietly(lambda: many, 20.0) == many
    assert ask_quietly(lambda: [str(1 // 0)], 5.0) == []
    began = time.monotonic()
    assert ask_quietly(lambda: [str(time.sleep(60))], 0.2) == []
    assert 0.2 <= time.monotonic() - began < 0.2 + SLACK_S
    assert children() <= before
