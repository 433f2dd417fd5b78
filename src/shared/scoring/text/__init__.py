"""What is found in texts: language, numbers, dates."""
