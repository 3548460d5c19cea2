"""Browsers as devices: engines that are installed on this machine, each driven in its own way."""
