"""What an operator does from a laptop: check, launch, and what comes after the launch."""
