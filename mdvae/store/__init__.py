"""Files: run directories, their checkpoints, opening one in a notebook; and weights of features."""
