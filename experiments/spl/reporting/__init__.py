"""What the report shows of this paper's experiments."""
