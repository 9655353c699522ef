"""The service that ends what nobody uses: it judges who is idle, and sweeps what nobody owns."""
