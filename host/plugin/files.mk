# Plugins, the factory and the default host.
sb_plugin_files = \
	plugin/api.c \
	plugin/elf.c \
	plugin/error.c \
	plugin/event.c \
	plugin/executor.c \
	plugin/executor.h \
	plugin/exporter.c \
	plugin/exporter.h \
	plugin/factory.c \
	plugin/factory.h \
	plugin/host.c \
	plugin/listener.c \
	plugin/listener.h \
	plugin/metrics.c \
	plugin/metrics.h \
	plugin/metrics_text.c \
	plugin/plugin.c \
	plugin/plugin.h \
	plugin/pool.c \
	plugin/pool.h \
	plugin/search.c \
	plugin/timer.c \
	plugin/vtable.c
