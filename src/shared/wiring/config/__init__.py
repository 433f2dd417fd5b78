"""The YAML file and the environment: read, checked, and looked up by name."""
