"""What Compare and Audit ask and keep alike."""
