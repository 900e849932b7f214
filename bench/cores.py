# SPDX-License-Identifier: MIT
"""What changes with many cores: a simulation of calls (W1, W2) and of submissions (W3) on 2 to 64
cores, with one executor and with several.  Prints tables in Markdown; the same every time.

    python3 bench/cores.py [epyc|xeon]

A thread on each core, nothing preempted.  What costs time is what makes a cache line change its
core, and the wakes:

    push      the mailbox's line goes to the pusher, and nobody else has it meanwhile
    take      the same, by the executor, of all that is there
    task      its record goes to the executor, it runs, the line its caller looks at goes to the
              executor and back
    spinning  a caller, and an executor with nothing to do, look for SPIN ns and then sleep
    wake      of who sleeps: WAKER ns of the one that wakes, SLEEPER ns until the other runs

Left out: the bandwidth of the links between the cores, the caches' sizes, other programs, and a
caller's own work on the result."""

import heapq
import random
import sys

# ns for a line from one core to another: in a cluster of eight cores that share a cache, in one
# socket, in two.  From github.com/nviennot/core-to-core-latency (its tables of medians; AMD EPYC
# 7R13 and Intel Xeon Platinum 8375C, both with two sockets).  On the machine of our figures a line
# takes 44 ns to the other core and to be noticed there (bench_contention.c: handover).
MACHINES = {"epyc": (23, 107, 197), "xeon": (51, 51, 108)}
CLUSTER = 8
OWN = 2            # the step on a line that is there: contention-1, an exchange
SWAP = 1.2         # a compare-and-swap for an exchange, by two cores: contention-2, one run
TASK = 40          # make, run and end a task without looking at another core's lines: W4
SPIN = 5000        # as long as SLEEPER: docs/decisions/0011
WAKER = 1000       # assumed of a wake that wakes: a quarter of the futex floor of W1, one core
SLEEPER = 5000     # assumed of a real machine; an idle virtual core takes 20,000 and more
END = 1_000_000    # ns of each simulation
CORES = (2, 4, 8, 16, 32, 64)


class Line:
    """A cache line that one core has at a time; who asks first gets it first."""

    def __init__(self, machine, core):
        self.machine, self.core, self.free = machine, core, 0.0

    def take(self, now, core):
        begun = max(now, self.free)
        self.free = begun + self.machine.distance(self.core, core) * SWAP + OWN
        self.core = core
        return self.free


class Executor:
    def __init__(self, machine, core, mailboxes):
        self.core = core
        self.mailboxes = [Line(machine, core) for _ in range(mailboxes)]
        self.letters = []  # pushed and not taken: core of the caller, when it began to wait
        self.idle_since = 0.0  # None: it is awake and has been told to look


class Machine:
    def __init__(self, cores, distances, executors, mailboxes=1, local=True, flood=False):
        self.cores, self.distances, self.flood, self.local = cores, distances, flood, local
        self.random = random.Random(1)
        step = cores // executors
        places = range(0, cores, step)
        self.executors = [Executor(self, core, mailboxes) for core in places]
        self.callers = [core for core in range(cores) if core not in places]
        self.events, self.serial = [], 0
        self.calls, self.waited, self.wakes = 0, 0.0, 0

    def distance(self, a, b):
        near, socket, far = self.distances
        if a == b:
            return 0
        if a // CLUSTER == b // CLUSTER:
            return near
        return socket if a // 32 == b // 32 else far  # 32 cores in a socket

    def at(self, time, what, *arguments):
        self.serial += 1
        heapq.heappush(self.events, (time, self.serial, what, arguments))

    def executor_of(self, core):
        if self.local:
            return self.executors[core * len(self.executors) // self.cores]
        return self.random.choice(self.executors)

    def push(self, now, core):
        executor = self.executor_of(core)
        line = executor.mailboxes[core % len(executor.mailboxes)]
        self.at(line.take(now + TASK / 2, core), self.pushed, core, executor, now)

    def pushed(self, now, core, executor, since):
        executor.letters.append((core, since))
        if executor.idle_since is not None:
            sleeps = now - executor.idle_since > SPIN
            executor.idle_since = None
            self.wakes += sleeps
            delay = SLEEPER if sleeps else self.distance(core, executor.core)
            now += WAKER if sleeps else 0
            self.at(now + delay, self.look, executor)
        if self.flood:
            self.push(now, core)

    def look(self, now, executor):
        for line in executor.mailboxes:
            now = line.take(now, executor.core)
        letters, executor.letters = executor.letters, []
        for core, since in letters:
            distance = self.distance(core, executor.core)
            now += distance + TASK / 2  # its record
            self.calls += now < END
            if self.flood:
                continue
            now += distance + OWN  # the line its caller looks at
            slept = now - since > SPIN
            self.wakes += slept
            now += WAKER if slept else 0
            answered = now + distance + (SLEEPER if slept else 0)
            self.waited += answered - since if now < END else 0
            self.at(answered, self.push, core)
        if letters:
            self.at(now, self.look, executor)
        else:
            executor.idle_since = now

    def run(self):
        for core in self.callers:
            self.at(self.random.random() * 1000, self.push, core)
        while self.events and self.events[0][0] < END:
            time, _, what, arguments = heapq.heappop(self.events)
            what(time, *arguments)
        return self


DESIGNS = (  # name, executors for a number of cores, mailboxes of each, whether callers call the next
    ("one", lambda cores: 1, 1, True),
    ("one, 8 mailboxes", lambda cores: 1, 8, True),
    ("one a socket", lambda cores: max(1, cores // 32), 1, True),
    ("one for 8 cores", lambda cores: max(1, cores // 8), 1, True),
    ("one for 8 cores, any", lambda cores: max(1, cores // 8), 1, False),
    ("one for 4 cores", lambda cores: max(1, cores // 4), 1, True),
)


def table(title, distances, flood, show):
    print(f"| {title} | " + " | ".join(str(cores) for cores in CORES) + " |")
    print("|---|" + "---:|" * len(CORES))
    for name, executors, mailboxes, local in DESIGNS:
        runs = (Machine(cores, distances, executors(cores), mailboxes, local, flood).run()
                for cores in CORES)
        print(f"| {name} | " + " | ".join(show(run) for run in runs) + " |")
    print()


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "epyc"
    distances = MACHINES[name]
    table(f"{name}: calls, M/s", distances, False, lambda run: f"{run.calls * 1000 / END:.1f}")
    table(f"{name}: ns of a call", distances, False,
          lambda run: f"{run.waited / max(run.calls, 1):,.0f}")
    table(f"{name}: wakes for a call", distances, False,
          lambda run: f"{run.wakes / max(run.calls, 1):.2f}")
    table(f"{name}: submitted tasks, M/s", distances, True,
          lambda run: f"{run.calls * 1000 / END:.1f}")


main()
