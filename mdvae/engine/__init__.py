"""The engine: the axis of runs, the compiled programs, devices, and training in a run directory."""
