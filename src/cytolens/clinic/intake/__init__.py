"""From files of unknown origin to pictures without anything beside their pixels."""
