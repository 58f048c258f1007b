"""Kinds of one's own, outside the package: docs/extending.md walks through these files.

They are imported as `examples.ring` and so on by commands that are called in the repository's root.
"""
