"""Data sets as pure functions of a key and settings; a file for each kind."""
