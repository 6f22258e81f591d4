"""First steps with testcontainers, as its documentation shows them. One line for each that worked."""

import urllib.request

from testcontainers.core.container import DockerContainer
from testcontainers.core.waiting_utils import wait_for_logs

with DockerContainer("hello-world") as container:
    wait_for_logs(container, "Hello from Docker!", timeout=60)
print("PASSED python: logs are waited for", flush=True)

with DockerContainer("redis").with_exposed_ports(6379) as container:
    wait_for_logs(container, "Ready to accept connections", timeout=60)
    status, output = container.exec(["redis-cli", "set", "key", "value"])
    assert (status, output.strip()) == (0, b"OK"), output
    assert int(container.get_exposed_port(6379)) > 0
print("PASSED python: exec in a server", flush=True)

with DockerContainer("fussybeaver/uhttpd").with_command("httpd -f -h /www").with_exposed_ports(80) as container:
    address = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(80)}/"
    for attempt in range(100):
        try:
            page = urllib.request.urlopen(address, timeout=10).read()
            break
        except OSError:
            import time
            time.sleep(0.1)
    assert page == b"page\n", page
print("PASSED python: a published port", flush=True)
