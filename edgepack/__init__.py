"""edgepack: trained models onto phones, boards and web pages, proven to compute what the original computes."""

__version__ = "0.1.0"
