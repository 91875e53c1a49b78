"""The finish: geometry, colour, debanding, and the last conversion."""
