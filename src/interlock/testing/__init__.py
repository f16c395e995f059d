"""What tests of products and plugins may rely on: a simulated provider, a scripted agent, a clock, fixtures."""
