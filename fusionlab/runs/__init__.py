"""Files in, files out: one image, a folder, image sets, resuming, records."""
