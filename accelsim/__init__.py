"""accelsim: an AI-accelerator simulator with exact outputs."""

__version__ = "0.1.0"
