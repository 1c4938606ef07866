"""Ground floor: errors, configuration, registries, seeding and atomic files. Imports nothing above it."""
