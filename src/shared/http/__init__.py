"""HTTP for every edge: transport, retries, rate limits, concurrency, circuit breaker, error translation."""
