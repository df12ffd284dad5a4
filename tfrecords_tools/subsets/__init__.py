"""Parts of manifests: which rows they take, without holding the rows."""
