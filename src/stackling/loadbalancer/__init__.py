"""Load balancers of layer 4 (Octavia's API with the provider ``ovn``): one object of the fabric each."""
