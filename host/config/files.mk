# Configuration: options, settings, readers.
sb_config_files = \
	config/check.c \
	config/config_file.c \
	config/config_file.h \
	config/config_file_libconfig.c \
	config/config_file_yaml.c \
	config/option_table.c \
	config/options.c \
	config/options.h \
	config/settings.c \
	config/settings.h
