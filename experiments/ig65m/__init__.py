"""IG-65M: networks that learn from hashtags, and what that gives another task."""
