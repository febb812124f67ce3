"""What Prometheus and Grafana are given: dashboards, and the rules as an object of the Prometheus operator."""
