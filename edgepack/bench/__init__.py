"""``edgepack bench``: what bundles cost on this machine, each beside its float sibling."""
