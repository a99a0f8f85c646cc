"""What several of the methods compute: filters, patches, sparse codes, pyramids of scales."""
