"""Configuration files on disk: main.cf with everything it includes, as the texts that the builder reads.

An included file is looked for beside main.cf and then among the type files that come with Holdfast.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.cluster.config.builder import INCLUDE_LIMIT, build_trees
from holdfast.cluster.config.syntax import File, parse_file
from holdfast.cluster.model.configuration import Configuration
from holdfast.kernel.errors import InputError
from holdfast.runtime.textfile import read_text

_FILE_LIMIT_BYTES = 4 * 1024 * 1024


def read_files(path: Path) -> dict[str, str]:
    """Return main.cf (under that name, whatever the file is called) and every included file as name → text.

    ``path`` is main.cf or a directory that holds it. Raises :class:`InputError`.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, str], dict[str, File]]:
    """Return every file's text and its tree; a file is parsed once, whoever needs it."""
    main = path / "main.cf" if path.is_dir() else path
    files = {"main.cf": _text(main)}
    trees = {"main.cf": parse_file(files["main.cf"], str(main))}
    waiting = list(trees["main.cf"].includes)
    while waiting:
        name, place = waiting.pop(0)
        if name in files:
            continue
        if len(files) >= INCLUDE_LIMIT:
            raise place.error(f"more than {INCLUDE_LIMIT} files are included", "put types into fewer files")
        beside = main.parent / name
        if beside.is_file():
            files[name] = _text(beside)
        else:
            from importlib import resources  # only a bundled type file needs it

            bundled = resources.files("holdfast.cluster.config").joinpath(Path(name).name)
            if not bundled.is_file() or not name.endswith(".cf"):
                raise place.error(f"included file {name!r} cannot be read", f"put it beside {main.name}")
            files[name] = bundled.read_text("utf-8")
        trees[name] = parse_file(files[name], name)
        waiting += trees[name].includes
    return files, trees


def load(path: Path) -> Configuration:
    """Read and check the configuration at ``path``. Raises :class:`InputError`."""
    return build_trees(_read(path)[1])


def including(main: str, name: str) -> str:
    """Return the text of main.cf with an include of ``name``, after those that it has already."""
    line = f'include "{name}"'
    lines = main.splitlines()
    if line in (one.strip() for one in lines):
        return main
    last = max((place for place, one in enumerate(lines, 1) if one.startswith("include ")), default=0)
    return "\n".join([*lines[:last], line, *lines[last:]]) + "\n"


def _text(path: Path) -> str:
    if path.is_file() and path.stat().st_size > _FILE_LIMIT_BYTES:
        raise InputError("the file is larger than 4 MiB", file=str(path), remedy="is it a configuration file?")
    return read_text(path)
