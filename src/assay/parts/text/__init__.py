"""Text: documents, tokenizers, tokens on disk, packed rows, scores."""
