"""Detection: boxes in images, how they are joined, and how well they are found."""
