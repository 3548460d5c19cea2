"""A second target, so that a build can have several."""
