"""Data sets as pure functions of a key and a cell."""
