"""The thin shell: carries instructions out, hears parties, watches the clock. No decision is taken here."""
