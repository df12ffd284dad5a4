"""SoccerNet and WebS4 (section 4.5)."""
