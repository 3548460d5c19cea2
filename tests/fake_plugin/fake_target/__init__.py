"""A target that another distribution brings, found by its entry point."""
