"""The backup client: options, scanner, content, backup pipeline, restore."""
