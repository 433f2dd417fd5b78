"""The smaller stores: anchors, batches, responses, deliveries, prompt generations, drift states."""
