"""The folder that ships: its manifest, how it is written, and how a stranger's is read."""
