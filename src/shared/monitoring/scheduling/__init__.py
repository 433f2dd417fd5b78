"""The scheduler: jobs, their times, and the loop that runs them."""
