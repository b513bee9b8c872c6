# The simulation. The program is tests/sim, so its sources live in
# tests/simulator/: a program and a directory of objects cannot share a name.
