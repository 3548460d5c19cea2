"""Agreement against size, for one budget of compression after another."""
