"""`python kafka_jars.py` has Maven resolve Apache Kafka's jars, once, before tests side by side ask for them."""

from pathlib import Path

from penstock.adapters.kafka.local_kafka_jars import resolve

CACHE_DIRECTORY = Path(__file__).resolve().parent.parent / ".cache" / "kafka"


def main() -> None:
    """Say where they are."""
    print(f"Apache Kafka: {resolve(CACHE_DIRECTORY)}")


if __name__ == "__main__":
    main()
