"""The models that come with the package, and the script that trains them."""
