"""Sphinx's settings."""

project = "Casemate"
author = "The Casemate authors"
copyright = "2026, the Casemate authors"  # noqa: A001 — Sphinx's name for it
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Casemate"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
