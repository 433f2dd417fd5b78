"""From finished items to confirmed deliveries: packing, estimates, notes, trials."""
