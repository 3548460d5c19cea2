"""``python -m edgepack``"""

from .cli import main

main()
