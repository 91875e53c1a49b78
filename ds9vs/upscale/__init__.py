"""Super-resolution: registry of models, backends, tiles, and the guard against invention."""
