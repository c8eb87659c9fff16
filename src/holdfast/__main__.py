"""``python -m holdfast``: the same entry as the ``holdfast`` command."""

import sys

from holdfast.app.main import main

sys.exit(main(["holdfast", *sys.argv[1:]]))
