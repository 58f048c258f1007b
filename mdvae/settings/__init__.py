"""What a sweep is asked to do: fields, sections, protocols, and the grid of cells."""
