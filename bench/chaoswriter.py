"""Writes one key after another into the cluster's store and prints each that was acknowledged, until it is killed.

Beside that it reads the intents and complains when one goes back: what was decided and acknowledged must stay decided.
"""

from __future__ import annotations

import asyncio
import json
import sys

from holdfast.app.store import open_store
from holdfast.cluster.service.records import GROUPS, State
from holdfast.kernel.errors import HoldfastError
from holdfast.store.port import Committed, Compare, Put

ROOT = "chaos/"


async def write(url: str) -> None:
    """Write until killed; what becomes of a write that was not answered is unknown, and it is not counted."""
    store, serials, number = open_store(url), dict[str, int](), 0
    while True:
        number += 1
        key = f"{ROOT}{number:07}"
        try:
            done = await store.transact([Compare(key, 0)], [Put(key, b"acknowledged")])
            if isinstance(done, Committed):
                print(json.dumps({"key": key}), flush=True)
            for name, intent in State.of(await store.read(GROUPS)).intents.items():
                if intent.serial < serials.get(name, 0):
                    print(json.dumps({"back": f"{name}: {intent.serial} after {serials[name]}"}), flush=True)
                serials[name] = intent.serial
        except (HoldfastError, TimeoutError):
            pass
        await asyncio.sleep(0.02)


async def missing(url: str, keys: list[str]) -> list[str]:
    """Return which of ``keys`` the store does not hold."""
    store = open_store(url)
    try:
        found = (await store.read(ROOT)).entries
    finally:
        await store.close()
    return [key for key in keys if key not in found]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as told:
            print(json.dumps(asyncio.run(missing(sys.argv[1], json.load(told)))))
    else:
        asyncio.run(write(sys.argv[1]))
