"""OmniSource: web images, short and untrimmed videos, trained jointly with a target."""
