"""Images and what is known of them: manifest, reading, facts, catalog, audit, phantom."""
