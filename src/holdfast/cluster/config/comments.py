"""Comments of main.cf: from where they were read to the items they stand at, so that a dump puts them back.

An item is named by a key: ``("group", NAME)`` for a block, ``("group", NAME, ATTRIBUTE, SYSTEM)`` for a value,
``("group", NAME, ")")`` for the end of a block, ``("resource", …)`` for resources likewise, ``("requires", PARENT,
CHILD)`` for a link, ``("include", FILE)``, and ``()`` for the end of the file. A comment that has its line for itself
belongs to the item that follows; one at the end of a line to the last item that began before it. The dependency trees
that a dump writes are no comments of anybody and are dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from holdfast.cluster.config.syntax import Block, File
from holdfast.cluster.config.tokens import Comment as Written
from holdfast.cluster.model.configuration import Comment

Key = tuple[str, ...]
TREE_HEADING = " resource dependency tree"
TREE_END = "\t}"


def attach(tree: File) -> dict[Key, Comment]:
    """Return the comments of a file by the key of the item that they stand at."""
    if not tree.comments:
        return {}
    items = sorted(_items(tree))
    offsets = [offset for offset, _ in items]
    before: dict[Key, list[str]] = {}
    after: dict[Key, list[str]] = {}
    for comment in _without_trees(tree.comments):
        place = bisect_right(offsets, comment.place.offset)
        if not comment.alone and place:
            after.setdefault(items[place - 1][1], []).append(comment.text)
        else:
            before.setdefault(items[place][1] if place < len(items) else (), []).append(comment.text)
    keys = dict.fromkeys([*before, *after])
    return {key: Comment(tuple(before.get(key, ())), " //".join(after.get(key, ()))) for key in keys}


def _without_trees(comments: list[Written]) -> Iterator[Written]:
    inside = False
    for comment in comments:
        if comment.alone and comment.text == TREE_HEADING:
            inside = True
        elif not inside or not comment.alone:
            inside = False
            yield comment
        elif comment.text == TREE_END:
            inside = False


def _items(tree: File) -> Iterator[tuple[int, Key]]:
    for name, place in tree.includes:
        yield place.offset, ("include", name)
    for block in tree.blocks:
        yield from _block(block, block.word)
        for resource in block.resources:
            yield from _block(resource, "resource")
        for parent, child, place in block.links:
            yield place.offset, ("requires", parent, child)
        for link in block.at_least:
            yield link.place.offset, ("atleast", link.parent, *link.children)
        for group, _, place in block.group_links:
            yield place.offset, ("requires group", block.name, group)


def _block(block: Block, word: str) -> Iterator[tuple[int, Key]]:
    key = ("cluster",) if word == "cluster" else (word, block.name)
    yield block.place.offset, key
    for item in block.assignments:
        yield item.place.offset, (*key, item.name, item.system)
    if block.end is not None:
        yield block.end.offset, (*key, ")")
