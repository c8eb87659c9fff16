"""The ha… command lines of a main.cmd back to a configuration, for ``hacf -cmdtocf``.

Each line changes one draft, by the table that the commands on a running cluster go by, so that the builder checks all
alike and a complaint points at the line of the command file. Commands that change no configuration (``haconf``) are
passed over; any other that is not known is refused, since leaving it out would change what the file says.
"""

from __future__ import annotations

import shlex

from holdfast.cluster.config.builder import build_trees
from holdfast.cluster.config.edit import Draft
from holdfast.cluster.config.syntax import File
from holdfast.cluster.config.tokens import Place, Source
from holdfast.cluster.model.configuration import Configuration
from holdfast.dialects.vcs.editing import Interpreter
from holdfast.kernel.errors import Refused


def read_commands(text: str, name: str = "main.cmd") -> Configuration:
    """Return the configuration that command lines build. Raises :class:`InputError` with the line that cannot be."""
    draft, source, offset = Draft({"main.cf": File()}), Source(name, text), 0
    interpreter = Interpreter(draft)
    for line in text.split("\n"):
        draft.place = place = Place(source, offset)
        offset += len(line) + 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise place.error(f"the line cannot be read: {error}", "close the quotes") from None
        if words[0] == "haconf":
            continue
        try:
            interpreter.line(words)
        except Refused as refused:
            raise place.error(refused.refusal.reason, refused.refusal.remedy) from refused
    return build_trees(draft.trees)
