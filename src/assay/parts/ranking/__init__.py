"""Rankings of algorithms over cases: how they are made, and how far they can be trusted."""
