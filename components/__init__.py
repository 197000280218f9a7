"""What one party uses alone and every federated job uses too."""
