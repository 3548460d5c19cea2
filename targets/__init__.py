"""One folder a target; the folders that begin with an underscore are frameworks that targets share."""
