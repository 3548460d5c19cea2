"""Which precision every op gets."""
