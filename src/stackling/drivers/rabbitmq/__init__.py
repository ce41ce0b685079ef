"""Wake-ups between machines, by RabbitMQ."""
