"""The commands that need more than a screen: each in a module of its own name."""
