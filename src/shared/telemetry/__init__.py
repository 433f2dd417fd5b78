"""What Trueline tells other people's observability: best effort, never a reason for a run to fail."""
