"""From a manifest to a finished dataset: plan, shards, runners."""
