"""Photographs of the inspector in real terminals, each on a virtual display of its own, for a person to look at.

    python tests/terminals/photograph.py target/release/diffuscope /tmp/photographs [NAME…]

writes NAME-VIEW.png for each terminal below that is installed. Debian has all of them, and what else is needed:

    apt-get install xvfb xdotool imagemagick x11-utils fonts-dejavu-core libgl1-mesa-dri \
        kitty xterm mlterm foot weston tmux screen

Look at: is the picture in pixels where it is said to be, square, in its place, gone in the next view; are colours
right, and legible where there are 256 or 16; is the last line whole; does the shell's screen come back.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = "1300x900x24"
FONT = "DejaVu Sans Mono"
# Keys, and what the view is called: the picture, the latents, noise, attention, and numbers.
VIEWS = [("9", "image"), ("7", "denoising"), ("5", "noise"), ("8", "attention"), ("3", "embedding")]


def kitty(inside):
    size = ["-o", "remember_window_size=no", "-o", "initial_window_width=120c", "-o", "initial_window_height=40c"]
    return ["kitty", "--config", "NONE", *size, "-o", f"font_family={FONT}", "-o", "update_check_interval=0", *inside]


def xterm(*options):
    return lambda inside: ["xterm", *options, "-fa", FONT, "-fs", "10", "-geometry", "120x40", "-e", *inside]


def in_tmux(passthrough):
    """tmux with a server of its own, inside kitty."""

    def command(inside):
        name = f"photograph-{os.getpid()}"
        tmux = f"tmux -L {name} -f /dev/null"
        script = f"{tmux} new-session -d -x 120 -y 40 && {tmux} set -g allow-passthrough {passthrough}; " \
                 f"{tmux} respawn-pane -k '{' '.join(inside)}'; {tmux} attach; {tmux} kill-server"
        return kitty(["sh", "-c", script])

    return command


# Name, what the terminal is expected to show, its command, and options of the program.
TERMINALS = {
    "kitty": ("kitty's protocol", kitty, []),
    "xterm": ("cells, 256 colours: it does not say that it has more", xterm(), []),
    "xterm-vt340": ("sixels", xterm("-ti", "vt340", "-xrm", "XTerm*numColorRegisters: 256"), []),
    "xterm-vt340-16": ("sixels of 16 colours", xterm("-ti", "vt340"), []),
    "xterm-pixels": ("cells, and why", xterm(), ["--images", "pixels"]),
    "xterm-truecolour": ("cells, 24 bits", xterm(), ["--colours", "truecolour"]),
    "xterm-16": ("cells, 16 colours", xterm(), ["--colours", "16"]),
    "mlterm": ("sixels", lambda inside: ["mlterm", "-g", "120x40", "-e", *inside], []),
    "foot": ("sixels", lambda inside: ["foot", "-f", f"{FONT}:size=10", "-w", "1100x800", *inside], []),
    "tmux-in-kitty": ("placeholders (kitty 0.28), or why not", in_tmux("on"), ["--images", "pixels"]),
    "tmux-stops": ("cells, and why", in_tmux("off"), ["--images", "pixels"]),
    "screen-in-kitty": ("cells, 256 colours", lambda inside: kitty(["screen", *inside]), ["--images", "pixels"]),
}


class Display:
    """A virtual display, and what runs on it."""

    def __init__(self, number):
        self.name = f":{number}"
        self.folder = tempfile.mkdtemp()
        self.environment = {
            name: value for name, value in os.environ.items()
            if name not in ("TMUX", "STY", "COLORTERM", "KITTY_WINDOW_ID", "NO_COLOR", "WAYLAND_DISPLAY", "TERM")
        } | {
            "DISPLAY": self.name, "LIBGL_ALWAYS_SOFTWARE": "1", "XDG_RUNTIME_DIR": self.folder,
            "XDG_DATA_HOME": self.folder, "LANG": "C.UTF-8", "SHELL": "/bin/sh",
        }
        self.running = []
        self.start(["Xvfb", self.name, "-screen", "0", SIZE])
        time.sleep(2)

    def start(self, command, **environment):
        log = open(os.path.join(self.folder, "log"), "ab")
        process = subprocess.Popen(
            command, env=self.environment | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )
        self.running.append(process)
        return process

    def do(self, *command):
        return subprocess.run(command, env=self.environment, capture_output=True, text=True)

    def type(self, key):
        # Without a window manager nothing has the focus until it is given.
        found = self.do("xdotool", "search", "--onlyvisible", "--name", ".").stdout.split()
        if found:
            self.do("xdotool", "windowfocus", found[-1])
        self.do("xdotool", "key", key)

    def photograph(self, path):
        self.do("import", "-window", "root", str(path))

    def close(self):
        for process in reversed(self.running):
            try:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def photograph(name, program, out, number):
    expected, command, options = TERMINALS[name]
    inside = [program, "--steps", "8", *options]
    display = Display(number)
    try:
        environment = {}
        if name == "foot":
            width, height, _ = SIZE.split("x")
            display.start(["weston", "--backend=x11-backend.so", f"--width={width}", f"--height={height}",
                           "--socket=photograph", "--idle-time=0"])
            time.sleep(4)
            environment = {"WAYLAND_DISPLAY": "photograph"}
        terminal = display.start(command(inside), **environment)
        time.sleep(12)
        for key, view in VIEWS:
            display.type(key)
            time.sleep(2)
            display.photograph(out / f"{name}-{view}.png")
        display.type("q")
        time.sleep(1)
        print(f"{name}: expected {expected}; ended {terminal.poll() is not None}", flush=True)
        with open(os.path.join(display.folder, "log"), errors="replace") as log:
            said = log.read().strip()
        if said:
            print("   " + said[:600].replace("\n", "\n   "))
    finally:
        display.close()


def main():
    program, out, *names = sys.argv[1:]
    program, out = os.path.abspath(program), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names or TERMINALS, 80):
        tool = name.split("-")[0]
        if shutil.which(tool) is None:
            print(f"{name}: {tool} is not installed")
            continue
        photograph(name, program, out, number)


if __name__ == "__main__":
    main()
