"""The published systems, one folder each; README.md holds the contract every one of them keeps."""
