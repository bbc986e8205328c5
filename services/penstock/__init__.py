"""Penstock keeps a PyTorch model learning from a Kafka topic and its replicas on the newest good weights."""

__version__ = "0.1.0"
