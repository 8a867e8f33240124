"""terminal.py WORDS TIMES COMMAND...: runs a command at a terminal of its own, types Ctrl-C each time it has said WORDS, so many times at most, and ends as it does.
TIMES 0: from the first time on again and again, until it has ended."""
import os
import pty
import sys
import threading
import time

words, times, command = sys.argv[1].encode(), int(sys.argv[2]), sys.argv[3:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
said, typed = b"", 0


def insist():
    try:
        while True:
            os.write(terminal, b"\x03")
            time.sleep(0.02)
    except OSError:  # It has ended.
        pass


while True:
    try:
        read = os.read(terminal, 65536)
    except OSError:  # The last who had it open has gone.
        break
    if not read:
        break
    said += read
    os.write(1, read)
    if times == 0 and words in said and not typed:
        typed = 1
        threading.Thread(target=insist, daemon=True).start()
    # The terminal shows what is typed as ^C: the next one when that and an answer to it are there.
    if typed < times and said.count(words) > typed:
        typed += 1
        os.write(terminal, b"\x03")
status = os.waitpid(pid, 0)[1]
code = os.waitstatus_to_exitcode(status)
print(f"ended with {code}", flush=True)
sys.exit(code if code >= 0 else 128 - code)
