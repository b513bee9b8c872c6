# The simulation. The program is tests/sim, so its sources live in
# tests/simulator/: a program and a directory of objects cannot share a name.
# Mutexes of the code under test go through simulator/locks.c.
noinst_PROGRAMS += sim
sim_SOURCES = \
	simulator/act.c \
	simulator/batches.c \
	simulator/bucket.c simulator/bucket.h \
	simulator/bucket_store.c simulator/bucket_store.h \
	simulator/compare.c \
	simulator/elements.c \
	simulator/fault_cases.c \
	simulator/faults.c simulator/faults.h \
	simulator/final.c \
	simulator/host.c \
	simulator/item.h \
	simulator/job.c \
	simulator/ledger.c \
	simulator/life.c simulator/life.h \
	simulator/locks.c \
	simulator/main.c \
	simulator/manager.c \
	simulator/model.c simulator/model.h \
	simulator/objects.c \
	simulator/outsider.c \
	simulator/queues.c \
	simulator/rng.h \
	simulator/rounds.c \
	simulator/savepoints.c \
	simulator/sched.c \
	simulator/self.c \
	simulator/sim.h \
	simulator/subtask.c \
	simulator/task.c \
	simulator/typed.c simulator/typed.h \
	simulator/typed_batches.c \
	simulator/typed_folds.c \
	simulator/typed_lists.c \
	simulator/typed_maps.c \
	simulator/views.c \
	simulator/visits.c \
	simulator/walks.c
sim_LDADD = $(core_libs) $(uninstalled_libs)
sim_LDFLAGS = $(AM_LDFLAGS) \
	-Wl,--wrap=pthread_mutex_lock \
	-Wl,--wrap=pthread_mutex_trylock \
	-Wl,--wrap=pthread_mutex_unlock \
	-Wl,--wrap=pthread_cond_wait \
	-Wl,--wrap=pthread_cond_timedwait

dist_check_SCRIPTS += test-sim.sh
EXTRA_DIST += simulator/mutants
