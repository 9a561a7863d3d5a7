"""Class tables of several samples: one by one, summed, and pooled."""
