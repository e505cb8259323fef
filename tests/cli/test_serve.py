"""`serve` as a process: a page for this machine alone, that many read at once, and that ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests.serve.test_app import IMAGE, network
from tinycnn.cli import serve
from tinycnn.datasets import write_idx
from tinycnn.layers import Conv2D, Dense, Flatten
from tinycnn.sequential import Sequential
from tinycnn.serve.views import encoded

CLIENTS, REQUESTS = 50, 4


@pytest.fixture
def server(tmp_path):
    """A process that serves a small model, and its port."""
    network().save(tmp_path / "model.h5")
    arguments = [sys.executable, "-m", "tinycnn", "serve", "model.h5", "--port", "0"]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        yield process, int(line.split()[0].rpartition(":")[2])
        process.kill()


def ask(port, method, path, value=None):
    """Return status and content of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, None if value is None else json.dumps(value))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


@pytest.mark.slow
def test_many_clients_lose_nothing(server):
    """Each gets the answer to its own question."""
    process, port = server
    model, wrong = network(), []

    def client(number):
        image = np.roll(IMAGE, number, axis=1)
        expected = model(image[np.newaxis])[0]
        for _ in range(REQUESTS):
            status, content = ask(port, "POST", "/api/look", {"image": encoded(image), "label": number % 5})
            found = json.loads(content)
            if status != 200 or not np.allclose(found["output"], expected, atol=1e-5):
                wrong.append((number, status))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert ask(port, "GET", "/")[0] == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (0, 130)


@pytest.mark.slow
def test_ctrl_c_ends_it_with_clients_connected(tmp_path):
    """Soon, and without a traceback, although one client sends no more and one waits for a computation."""
    layers = [Conv2D(24, 5), Flatten(), Dense(3, activation="softmax")]
    Sequential(layers, seed=0, input_shape=(128, 128, 3)).save(tmp_path / "model.npz")
    arguments = [sys.executable, "-m", "tinycnn", "serve", "model.npz", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        port = int(process.stdout.readline().split()[0].rpartition(":")[2])
        body = {"image": encoded(np.ones((128, 128, 3))), "kind": "occlusion", "label": 1}
        content = json.dumps(body).encode()
        head = (
            f"POST /api/pixels HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        clients[0].sendall(head.encode())
        clients[1].sendall(head.encode() + content)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=8) == 130
        assert "Traceback" not in process.stderr.read()
        for client in clients:
            client.close()


@pytest.mark.smoke
def test_the_names_of_the_server():
    """A browser leaves out port 80."""
    assert serve.hosts(8000) == ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"]
    assert {"127.0.0.1", "localhost", "localhost:80"} <= set(serve.hosts(80))


@pytest.mark.slow
def test_it_listens_on_loopback_alone(server):
    _, port = server
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in addresses - {"127.0.0.1"}:
        if not address.startswith("127."):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, port), timeout=5)


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "--port: expected a number from 0 to 65535, received 70000"),
        (["none.h5"], "none.h5: No such file"),
        (["--checkpoint", "none"], "none: expected a folder with the models of a run"),
        (["--checkpoint", "."], ".: expected models, found none"),
        (["flat.npz"], "expected a model for images of 1 or 3 channels"),
        (["small.npz", "--data", "idx"], "--data: expected images (9, 8, 1) of at most 3 classes"),
    ],
)
def test_wrong_arguments(call, tmp_path, arguments, message, monkeypatch):
    if "--checkpoint" not in arguments:
        Sequential([Dense(3)], seed=0, input_shape=(4,)).save(tmp_path / "flat.npz")
        layers = [Conv2D(2, 3), Flatten(), Dense(3)]
        Sequential(layers, seed=0, input_shape=(9, 8, 1)).save(tmp_path / "small.npz")
    small_set(tmp_path / "idx", classes=4)
    done = call("serve", *arguments)
    assert done.status != 0
    assert message in done.err


def small_set(folder, classes):
    """Write a data set of images of 9 x 8 pixels."""
    folder.mkdir()
    y = (np.arange(40) % classes).astype(np.uint8)
    for name in ("train", "t10k"):
        write_idx(folder / f"{name}-images-idx3-ubyte", np.full((40, 9, 8), 7, np.uint8) + y[:, None, None])
        write_idx(folder / f"{name}-labels-idx1-ubyte", y)


@pytest.mark.smoke
def test_a_port_that_is_taken(call, tmp_path):
    network().save(tmp_path / "model.h5")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = call("serve", "model.h5", "--port", port)
    assert (done.status, done.err) == (
        1,
        f"tinycnn: error: port {port} is taken; choose another by --port, or any by --port 0\n",
    )


@pytest.mark.smoke
def test_examples_are_those_that_a_run_does_not_train_on(tmp_path):
    """Of MNIST for a model of digits; of `--data`; none for another model."""
    layers = [Flatten(), Dense(10)]
    digits = Sequential(layers, seed=0, input_shape=(28, 28, 1))
    found = serve.examples(digits, None)
    assert found.images.shape == (1000, 28, 28, 1)
    assert found.images.max() == 1
    assert len(found.classes) == 1000
    assert serve.examples(network(), None) is None  # 5 classes
    small_set(tmp_path / "idx", classes=3)
    other = Sequential([Flatten(), Dense(3)], seed=0, input_shape=(9, 8, 1))
    found = serve.examples(other, tmp_path / "idx")
    np.testing.assert_array_equal(np.rint(found.images[:, 0, 0, 0] * 255) - 7, found.classes)
