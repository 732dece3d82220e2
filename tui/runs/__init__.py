"""The Runs screen, and the watcher that notices when runs end."""
