"""Sphinx's settings. The pages under ``reference`` are written by ``_ext/tables.py`` before each build."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "src")]

project = "Holdfast"
author = "the Holdfast team"
extensions = ["myst_parser", "tables"]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "Holdfast"
myst_heading_anchors = 3
