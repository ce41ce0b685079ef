"""All that other services may use of the load balancer service: nothing yet. The engine's kinds are in ``kinds``."""
