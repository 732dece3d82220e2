"""What computes the answers of the server."""
