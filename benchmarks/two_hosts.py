"""Two hosts on one machine: a job over two network namespaces, each with an address and a name of its own.

::

    namespace tinycnn-a (10.77.0.1, host-a) --- veth --- namespace tinycnn-b (10.77.0.2, host-b)
    mpiexec in the first one -> a process in each -> the command, over TCP between the two

Needs Linux, root, `ip` of iproute2, and MPICH's mpiexec. The namespaces are removed at the end.

    python benchmarks/two_hosts.py -- python -m mpi4py examples/train_mnist.py --limit 1000 --epochs 1
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HOSTS = {"10.77.0.1": "tinycnn-a", "10.77.0.2": "tinycnn-b"}
VETH = ("tinycnn-va", "tinycnn-vb")
#: What mpiexec starts in the place of ssh: the command, in the namespace of the address.
LAUNCHER = """#!{python}
import os, sys
spaces = {hosts!r}
address = next(argument for argument in sys.argv if argument in spaces)
command = " ".join(sys.argv[sys.argv.index(address) + 1:])
name = spaces[address].replace("tinycnn", "host")
inside = ["unshare", "--uts", "sh", "-c", f"hostname {{name}}; exec " + command]
os.execvp("ip", ["ip", "netns", "exec", spaces[address], *inside])
"""


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


def main() -> int:
    """Run a command as a job of two hosts; return its status."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--ranks", type=int, default=2, help="processes of the job (default: 2)")
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
        launcher.write_text(LAUNCHER.format(python=sys.executable, hosts=HOSTS), encoding="utf-8")
        launcher.chmod(0o755)
        hosts = ["-launcher", "ssh", "-launcher-exec", str(launcher), "-hosts", ",".join(HOSTS)]
        job = [mpiexec, *hosts, "-n", str(options.ranks), *options.command]
        try:
            make()
            print("$", shlex.join(["mpiexec", *job[1:]]).replace(str(launcher), "launcher"), flush=True)
            first = next(iter(HOSTS.values()))
            status = subprocess.run(["ip", "netns", "exec", first, *job], check=False).returncode
            for space, end in zip(HOSTS.values(), VETH, strict=True):
                print(f"{space} sent {sent(space, end) / 1e6:.1f} MB through the cable")
        finally:
            remove()
    return status


if __name__ == "__main__":
    sys.exit(main())
