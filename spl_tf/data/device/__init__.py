"""What happens to batches on the accelerator."""
