"""The models of one configuration: what metrics ask, what it costs, and how it is put together."""
