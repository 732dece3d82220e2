"""What a decoder keeps of the past: cache and eviction schemes behind one interface, measured side by side."""
