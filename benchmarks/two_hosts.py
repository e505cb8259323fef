"""Two hosts on one machine: a job over two network namespaces, each with an address and a name of its own.

::

    namespace tinycnn-a (10.77.0.1, host-a) --- veth --- namespace tinycnn-b (10.77.0.2, host-b)
    mpiexec in the first one -> a process in each -> the command, over TCP between the two

    python benchmarks/two_hosts.py -- python -m mpi4py examples/train_mnist.py --limit 1000 --epochs 1

Needs Linux, root, iproute2's `ip`, util-linux' `unshare` and MPICH's `mpiexec`. The namespaces are removed at
the end. With `--cut 20` the cable is pulled after 20 seconds: the job must end, and say why.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HOSTS = {"10.77.0.1": "tinycnn-a", "10.77.0.2": "tinycnn-b"}
VETH = ("tinycnn-va", "tinycnn-vb")
AFTER_THE_CUT = 30.0  # seconds that a job has to end
#: What mpiexec starts in the place of ssh, with an address and a command.
LAUNCHER = """#!{python}
import os, sys
sys.path.insert(0, {folder!r})
from two_hosts import HOSTS, inside
address = next(argument for argument in sys.argv if argument in HOSTS)
command = inside(HOSTS[address], " ".join(sys.argv[sys.argv.index(address) + 1:]))
os.execvp(command[0], command)
"""


def inside(space: str, command: str) -> list[str]:
    """Return a command of the shell as one in a namespace, on a host with a name of its own."""
    named = f"hostname {space.replace('tinycnn', 'host')}; exec {command}"
    return ["ip", "netns", "exec", space, "unshare", "--uts", "sh", "-c", named]


def run(*command: str) -> None:
    """Run a command; raise CalledProcessError when it fails."""
    subprocess.run(command, check=True)


def make() -> None:
    """Make both namespaces, with a cable between them."""
    run("ip", "link", "add", VETH[0], "type", "veth", "peer", "name", VETH[1])
    for (address, space), end in zip(HOSTS.items(), VETH, strict=True):
        run("ip", "netns", "add", space)
        run("ip", "link", "set", end, "netns", space)
        for line in (f"addr add {address}/24 dev {end}", f"link set {end} up", "link set lo up"):
            run("ip", "-n", space, *line.split())


def remove() -> None:
    """Remove what `make` has made, also half of it."""
    for space in HOSTS.values():
        subprocess.run(["ip", "netns", "delete", space], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["ip", "link", "delete", VETH[0]], check=False, stderr=subprocess.DEVNULL)


def sent(space: str, end: str) -> int:
    """Return the bytes that went through an end of the cable."""
    path = f"/sys/class/net/{end}/statistics/tx_bytes"
    done = subprocess.run(
        ["ip", "netns", "exec", space, "cat", path], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def left() -> int:
    """Return how many processes are in the namespaces."""
    listed = [
        subprocess.run(["ip", "netns", "pids", space], check=True, capture_output=True, text=True).stdout
        for space in HOSTS.values()
    ]
    return len("".join(listed).split())


def main() -> int:
    """Run a command as a job of two hosts; return its status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--ranks", type=int, default=2, help="processes of the job (default: 2)")
    parser.add_argument("--cut", type=float, metavar="SECONDS", help="pull the cable after this time")
    parser.add_argument("command", nargs="+", help="the program of each process, after --")
    options = parser.parse_args()
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        sys.exit("two_hosts: expected root, who alone can make network namespaces")
    folder = str(Path(sys.executable).parent)
    mpiexec = shutil.which("mpiexec", path=folder) or shutil.which("mpiexec")
    if mpiexec is None or shutil.which("ip") is None:
        sys.exit("two_hosts: expected MPICH's mpiexec and iproute2's ip, received none")
    with tempfile.TemporaryDirectory() as temporary:
        launcher = Path(temporary, "launcher")
        here = str(Path(__file__).resolve().parent)
        launcher.write_text(LAUNCHER.format(python=sys.executable, folder=here), encoding="utf-8")
        launcher.chmod(0o755)
        hosts = ["-launcher", "ssh", "-launcher-exec", str(launcher), "-hosts", ",".join(HOSTS)]
        job = [mpiexec, *hosts, "-n", str(options.ranks), *options.command]
        first = next(iter(HOSTS.values()))
        cut = threading.Timer(options.cut or 0, run, ["ip", "-n", first, "link", "set", VETH[0], "down"])
        try:
            make()
            print("$", shlex.join(["mpiexec", *job[1:]]).replace(str(launcher), "launcher"), flush=True)
            if options.cut is not None:
                cut.start()
            # both "hosts" have one memory, and MPICH would find it: between real ones it has no choice
            tcp = {**os.environ, "UCX_TLS": "tcp"}
            limit = None if options.cut is None else options.cut + AFTER_THE_CUT
            status = subprocess.run(
                inside(first, shlex.join(job)), env=tcp, check=False, timeout=limit
            ).returncode
            for space, end in zip(HOSTS.values(), VETH, strict=True):
                print(f"{space} sent {sent(space, end) / 1e6:.1f} MB through the cable")
        except subprocess.TimeoutExpired:
            print(f"mpiexec was ended {AFTER_THE_CUT:g} s after the cut; other processes left: {left()}")
            status = 1
        finally:
            cut.cancel()
            remove()
    print("status", status)
    return status


if __name__ == "__main__":
    sys.exit(main())
