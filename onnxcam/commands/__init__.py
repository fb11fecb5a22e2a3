"""The commands, each in a module of its own name; those that only tell are the inquiries."""
