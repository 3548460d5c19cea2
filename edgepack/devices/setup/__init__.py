"""What edgepack installs for emulated devices: parts in its cache folder, and what they are made of."""
