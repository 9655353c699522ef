"""What the hub answers a machine that asks when it is idle, for the tests of machines."""

TERMS = {
    "timeout_seconds": 3600,
    "action": "stop",
    "keep_seconds": 7200,
    "max_age_seconds": 0,
    "quiet_until": None,
    "busy_cpu_percent": 50,
    "busy_gpu_percent": 10,
    "busy_minutes": 5,
}
