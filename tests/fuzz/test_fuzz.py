"""Every fuzz target for a bounded number of runs, each from texts that people really write; the seed is printed.

More: ``make fuzz RUNS=1000000``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.backup.service.volumeformat import GroupIndex, VolumeHeader, pack_header, seal
from holdfast.backup.session import messages
from holdfast.backup.session.machine import State

pytest.importorskip("atheris")

HERE = Path(__file__).parent
EXAMPLE = HERE.parent.parent / "examples" / "two-sites"
RUNS = int(os.environ.get("FUZZ_RUNS", "4000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
LIMIT_S = 60
"""For one text: what takes longer hangs."""

SERVICE = """[DEFAULT]
nodes = n1 n2
[sync#1]
type = ibmdssnap
pairs = 0001:0002 0003:0004
bgcopy = False
schedule = 01:00-06:00@60 mon-fri
[disk#0]
type = loop
file = {env.path}
[env]
path = /tmp/x
"""
CORPORA: dict[str, tuple[bytes, ...]] = {
    "main_cf": tuple((EXAMPLE / name).read_bytes() for name in ("main.cf", "loopback.cf", "MetroMirrorTypes.cf")),
    "main_cmd": (b"hatype -add F\nhasys -add a\nhagrp -add g\nhares -add f F g\nhares -modify f Enabled 1\n",),
    "vcs_line": tuple(
        bytes([number]) + b"\0".join(words)
        for number in range(16)
        for words in (
            (b"-modify", b"g", b"SystemList", b"-add", b"b", b"1"), (b"-switch", b"g", b"-to", b"b"),
            (b"-display", b"f", b"-attribute", b"State", b"-sys", b"a"), (b"-list", b"State=~ONLINE"),
            (b"-add", b"x", b"F", b"g"), (b"-link", b"f", b"h,q", b"-min", b"1"),
            (b"-modify", b"f", b"PathName", b"%-y"),
        )
    ),
    "dscli_line": (
        b"lspprc -dev IBM.2107-75X1234 -remotedev IBM.2107-75X4321 -fmt delim -hdr on 1200-120f",
        b"mkflash -dev IBM.2107-75X1234 -record -persist 1200:1300 1201:1301", b"failoverpprc -type mmir 1200:1200",
    ),
    "macro": tuple((EXAMPLE / name).read_bytes() for name in ("delhi.mac", "tokyo.mac")),
    "include_exclude": ((EXAMPLE / "inclexcl").read_bytes(), b"exclude.dir /.../cache\ninclude /[a-f]*/?.txt MC\n"),
    "service_file": (SERVICE.encode(),),
    "session": tuple(
        bytes([state]) + b"\xff\xff".join(messages.encode(message) for message in found)
        for state in range(len(State))
        for found in (
            (messages.SignOn("N"), messages.Proof(b"p"), messages.OpenFilespace(1, "/fs", "EXT4")),
            (messages.Have(2, "P", (b"n" * 32,)), messages.Group("P", (b"n" * 32,), (4,), b"data"),
             messages.Commit(3)),
            (messages.OpenVolume(4, "V", 0), messages.Append(b"x"), messages.CommitVolume(5, 1, 1, False)),
            (messages.Fetch(6, 1), messages.ListFiles(7, ""), messages.SignOff()),
        )
    ),
    "volume": (
        pack_header(VolumeHeader("V", "S", "P", 1))
        + seal(GroupIndex(b"u" * 16, "P/1", 24, (b"n" * 32,), (24,)), b"sealed content of a test", b"k" * 32) * 2,
    ),
    "schedule": (b"01:00-06:00@60 mon-fri", b"@1440 !sun", b"22:00-03:00@20 *:last %2 jan-mar,dec"),
}  # fmt: skip


@pytest.mark.parametrize("target", sorted(CORPORA))
def test_no_text_breaks_its_reader(target: str, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, data in enumerate(CORPORA[target]):
        (corpus / f"{number}").write_bytes(data)
    limits = [f"-runs={RUNS}", f"-seed={SEED}", "-max_len=4096", f"-timeout={LIMIT_S}", "-rss_limit_mb=4096"]
    command = [sys.executable, str(HERE / "targets.py"), target, *limits, "-verbosity=0", str(corpus)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    print(f"seed {SEED}, {RUNS} runs of {target}")
    broken = sorted(path for path in tmp_path.glob("*-*") if path.is_file())
    texts = [path.read_bytes() for path in broken]
    assert done.returncode == 0, f"{texts}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
