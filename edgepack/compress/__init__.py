"""Smaller without losing it: which weights go, which values they share, and how the rest makes up for it."""
