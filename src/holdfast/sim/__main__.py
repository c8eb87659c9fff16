"""``python -m holdfast.sim``: run many seeds and count, or one and tell its story."""

from __future__ import annotations

import sys

from holdfast.sim.batch import main

if __name__ == "__main__":
    sys.exit(main())
