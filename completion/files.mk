dist_bashcomp_DATA += sbctl
