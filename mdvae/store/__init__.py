"""Run directories: their files, their checkpoints, and opening one in a notebook."""
