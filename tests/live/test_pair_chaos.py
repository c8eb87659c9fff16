"""Random commands, writes and kills between two real arrays, compared with a naive model after every step.

The model is the mirrored volume's blocks as they were acknowledged, and one point-in-time copy. Nothing here is forced,
so whatever happens, both arrays must hold every acknowledged block once the pair is in Full Duplex again.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
from collections.abc import Callable

import pytest
from arraylab import VOLUME, Box, Lab, until

from holdfast.kernel.errors import HoldfastError, Refused

PAIR = [f"{VOLUME}:{VOLUME}"]
COPY = "1360"
BLOCK, SIZE = 4096, 32 << 20
STEPS = 12


class Scene:
    """Two arrays and the model; ``source`` and ``target`` change places."""

    def __init__(self, lab: Lab, chance: random.Random) -> None:
        self.lab, self.chance, self.source, self.target = lab, chance, lab.a, lab.b
        self.known: dict[int, set[bytes]] = {}
        self.copied: dict[int, set[bytes]] | None = None
        self.done: list[str] = []

    # --- steps -------------------------------------------------------------------------------------------------------

    def write(self, count: int = 30) -> None:
        """Blocks that are acknowledged replace what was; one that is not may be there or not."""
        offset, block = 0, b""
        try:
            with self.source.open(timeout_s=10.0) as client:
                for _ in range(count):
                    offset = self.chance.randrange(SIZE // BLOCK) * BLOCK
                    block = self.chance.randbytes(BLOCK)
                    self.known.setdefault(offset, {bytes(BLOCK)}).add(block)
                    client.pwrite(block, offset, fua=self.chance.random() < 0.1)
                    self.known[offset] = {block}
        except (OSError, HoldfastError) as error:
            self.done.append(f"write failed: {error}")

    def kill_source(self) -> None:
        self.write()
        self.source.kill()
        self.source.start()

    def kill_target(self) -> None:
        self.write()
        self.target.kill()
        self.write(5)
        self.target.start()

    def stop_target_for_a_while(self) -> None:
        self.target.signal(signal.SIGSTOP)
        self.write(5)
        self.target.signal(signal.SIGCONT)

    def pause(self) -> None:
        self.source.client.change("pause", PAIR, remote=self.target.image)
        self.write()

    def pause_at_the_target(self) -> None:
        self.target.client.change("pause", PAIR, remote=self.source.image, at="tgt")
        self.write()

    def swap(self) -> None:
        self.target.client.change("failover", PAIR, remote=self.source.image)
        self.source, self.target = self.target, self.source
        self.write()

    def freeze(self) -> None:
        self.source.client.change("freeze", ["12:12"], remote=self.target.image)
        if self.chance.random() < 0.5:
            self.swap()
        self.lab.a.client.run("thaw", ["12"])
        self.lab.b.client.run("thaw", ["12"])
        self.write()

    def copy(self) -> None:
        """A point-in-time copy of the source, or its next point in time."""
        ends = [f"{VOLUME}:{COPY}"]
        verb = "resyncflash" if self.source.client.run("flashes").rows else "mkflash"
        background = self.chance.random() < 0.5
        self.source.client.change(verb, ends, record=True, persist=True, copy=background)
        self.copied = {offset: set(blocks) for offset, blocks in self.known.items()}
        self.write()
        self.check(self.source, COPY, self.copied)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Bring the pair to Full Duplex by what an operator would do, without force."""
        source, target = self.source, self.target

        def level() -> bool:
            row = source.pair()
            if row["state"] == "Full Duplex" and row["attached"]:
                return True
            if row["state"] == "Suspended" and row["settled"]:
                swapped = target.pair()["role"] == "source"
                try:
                    source.client.change("failback" if swapped else "resume", PAIR, remote=target.image)
                except Refused as refused:
                    if refused.refusal.code == "no-path":
                        source.client.change("mkpath", ["12:12"], remote=target.image)
            return False

        until(level, 30.0, f"Full Duplex at {source.image} after {self.done}")
        until(lambda: target.pair()["state"] == "Target Full Duplex", 10.0, "target full duplex")

    def check(self, box: Box, volume: str, expected: dict[int, set[bytes]]) -> None:
        with box.open("checker", volume=volume) as client:
            wrong = [offset for offset, blocks in expected.items() if client.pread(BLOCK, offset) not in blocks]
        assert not wrong, f"{volume} at {box.image} lost {len(wrong)} of {len(expected)} blocks after {self.done}"

    def step(self) -> None:
        steps: list[Callable[[], None]] = [
            *(self.write, self.kill_source, self.kill_target, self.stop_target_for_a_while, self.pause),
            *(self.pause_at_the_target, self.swap, self.freeze, self.copy),
        ]
        chosen = self.chance.choice(steps)
        self.done.append(chosen.__name__)
        chosen()
        self.heal()
        self.check(self.source, VOLUME, self.known)
        with self.source.open("checker") as client:
            self.known = {offset: {client.pread(BLOCK, offset)} for offset in self.known}
        assert self.lab.a.digest() == self.lab.b.digest(), self.done


@pytest.mark.parametrize("seed", [20260, secrets.randbelow(1 << 31)], ids=["fixed", "random"])
def test_two_arrays_keep_every_acknowledged_block_whatever_happens(lab: Lab, seed: int) -> None:
    print(f"seed {seed}")
    scene = Scene(lab, random.Random(seed))
    lab.mirror(SIZE)
    for box in (lab.a, lab.b):
        box.create(COPY, size_bytes=SIZE)
    for _ in range(int(os.environ.get("HOLDFAST_CHAOS_STEPS", STEPS))):
        scene.step()
