"""The native command ``holdfast``: one module per noun, each a click group over its domain's operations."""
