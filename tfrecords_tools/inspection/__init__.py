"""Looking at datasets: summary, validation, reindexing, pictures."""
