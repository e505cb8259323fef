"""Looking at networks and at their training."""
