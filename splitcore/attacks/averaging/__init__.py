"""The releases of each row are averaged over the epochs before another attack reads them."""
