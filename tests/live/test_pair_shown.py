"""Pairs as people follow them: progress while they copy, and a picture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from arraylab import VOLUME, A, B, Lab


def command(lab: Lab, *words: str) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, "HOLDFAST_IDENTITY": str(lab.identity), "HOLDFAST_ARRAY": lab.a.management}
    return [sys.executable, "-m", "holdfast", *words], environment


STOPPABLE = """import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from holdfast.app.main import main
sys.exit(main(["holdfast", *sys.argv[1:]]))
"""
"""As from a terminal: whoever runs the tests in the background may have SIGINT ignored."""


def test_the_copy_of_a_pair_is_followed_to_its_end(lab: Lab) -> None:
    for box in (lab.a, lab.b):
        box.create(VOLUME, size_bytes=256 << 20)
    with lab.a.open() as host:
        for place in range(0, 256, 4):
            host.pwrite(os.urandom(1 << 20), place << 20)
    _, environment = command(lab)
    words = [sys.executable, "-c", STOPPABLE, "pair", "list", "--watch", "--json"]
    followed = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True)
    try:
        lab.a.client.change("mkpair", [f"{VOLUME}:{VOLUME}"], remote=B)
        assert followed.stdout is not None
        seen = []
        for line in followed.stdout:
            seen += json.loads(line)
            if seen and seen[-1]["state"] == "Full Duplex":
                break
    finally:
        followed.send_signal(signal.SIGINT)
        followed.wait(10)
    shares = [int(row["progress"].split()[0]) for row in seen if row["progress"]]
    assert shares == sorted(shares), "progress goes one way"
    assert shares[-1] == 100
    assert followed.returncode == 130


def test_the_picture_names_arrays_roles_and_lag(lab: Lab, tmp_path: Path) -> None:
    lab.mirror()
    lab.a.client.change("pause", [f"{VOLUME}:{VOLUME}"], remote=B)
    with lab.a.open() as host:
        host.pwrite(b"x" * 65536, 0)
        host.pwrite(b"x" * 65536, 5 << 20)
    words, environment = command(lab, "pair", "graph")
    told = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told == f"{A}/{VOLUME} -> {B}/{VOLUME}  Suspended (Host Source), 0.1 MiB behind\n"
    picture = tmp_path / "pairs.svg"
    subprocess.run([*words, "--svg", str(picture)], env=environment, timeout=60, check=True, capture_output=True)
    root = ElementTree.parse(picture).getroot()
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == [A, B, VOLUME, VOLUME, "Suspended, 0.1 MiB behind"]
    (line,) = root.iter("{http://www.w3.org/2000/svg}line")
    assert float(line.attrib["x1"]) < float(line.attrib["x2"]), "the arrow leads from the source"
