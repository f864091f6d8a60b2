"""``estimator-cli serve`` as a process: it announces itself, answers, and stops when told to."""

import re
import signal
import subprocess
import sys

import pytest

from estimator.client.remote import connect
from tests.service.networks import mlp

COMMAND = [sys.executable, "-c", "from estimator.cli.main import main; main()", "serve"]
WAIT_S = 60


@pytest.fixture
def start():
    """Start a server process; kill what a test leaves behind."""
    running = []

    def run(*options):
        process = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_it_serves_until_a_signal_and_then_exits_with_zero(start, number, workers):
    process = start("--listen", "localhost:0", "--workers", str(workers))
    line = process.stderr.readline()
    found = re.fullmatch(r"listening on (localhost:\d+) \(no TLS, no token, \d workers?\)\n", line)
    assert found, line
    with connect(found[1], "sd865", retries=0) as estimator:
        assert estimator.latency_ms(mlp()) > 0
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (0, "")
    assert err == "stopping, running calls have 10 s\n"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals to a thread are POSIX")
def test_a_signal_that_the_system_hands_to_another_thread_stops_it():
    probe = (
        "import signal, threading\n"
        "from estimator.service.server import ServerOptions, serve\n"
        "def strike():\n"
        "    threading.Event().wait(0.5)\n"  # until the main thread waits
        "    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)\n"
        "    threading.Event().wait()\n"
        "thread = threading.Thread(target=strike, daemon=True)\n"
        "serve(ServerOptions(listen='localhost:0'), lambda line: thread.is_alive() or thread.start())\n"
    )
    subprocess.run([sys.executable, "-c", probe], check=True, timeout=WAIT_S)


def test_a_taken_port_is_one_message_and_exit_status_two(start):
    first = start("--listen", "localhost:0")
    address = first.stderr.readline().split()[2]
    second = start("--listen", address)
    _, err = second.communicate(timeout=WAIT_S)
    assert second.returncode == 2
    assert err.startswith(f"error: cannot listen on '{address}': Address already in use\n")
    assert "Traceback" not in err


def test_the_service_loads_no_framework(start):
    probe = (
        "import sys, threading\n"
        "from estimator.service.server import Server, ServerOptions\n"
        "with Server(ServerOptions(listen='localhost:0')): pass\n"
        "print(sorted({'torch', 'onnx', 'tensorflow', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=WAIT_S, check=True)
    assert done.stdout == "[]\n"
