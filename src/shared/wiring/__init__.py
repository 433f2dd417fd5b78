"""The only room that knows every other: settings, configuration, building, command line."""
