"""Ground floor: errors, configuration, registries, seeding, atomic files."""
