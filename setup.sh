# SPDX-License-Identifier: Apache-2.0
# Sourced by ./quickstart and ./check: what both need before they start. Steps
# that are done are not done again.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$top/build
jobs=$(nproc 2>/dev/null || echo 2)

packages_build="gcc make autoconf automake libtool autoconf-archive pkg-config
 perl python3 libsnappy-dev libconfig-dev libyaml-dev libxxhash-dev
 libisal-dev libcunit1-dev libcurl4-openssl-dev libssl-dev libexpat1-dev
 libjansson-dev libmicrohttpd-dev"
packages_bench="librocksdb-dev"
packages_ceph="radosgw ceph-mon ceph-osd ceph-common"
packages_boto="python3-boto3"

say()
{
  printf '%s\n' "$*"
}

die()
{
  printf '%s\n' "$0: $*" >&2
  exit 1
}

package_missing()
{
  case $(dpkg-query -W -f '${Status}' "$1" 2>/dev/null) in
  "install ok installed") return 1 ;;
  esac
  return 0
}

# need_packages required|optional NAME...
need_packages()
{
  local need=$1 missing=() name as_root=()

  shift
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no dpkg here; assuming that these are installed:" "$@"
    return 0
  fi
  for name in "$@"; do
    if package_missing "$name"; then
      missing+=("$name")
    fi
  done
  if [ ${#missing[@]} = 0 ]; then
    return 0
  fi
  say "installing" "${missing[@]}"
  if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
  fi
  if ! package_install; then
    if [ "$need" = required ]; then
      die "could not install ${missing[*]}"
    fi
    say "could not install ${missing[*]}; going on without"
  fi
}

# Uses missing and as_root of need_packages.
package_install()
{
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)

  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" \
    >/dev/null 2>&1 && return 0
  "${apt[@]}" update >/dev/null || return 1
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# For the scripts in tests/servers/ that build servers and make certificates.
need_server_packages()
{
  need_packages optional openssl
  command -v go >/dev/null || need_packages optional python3-pip
}

# Runs a command with its output in a log, shown only when it fails.
quietly()
{
  local log=$1

  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    die "\"$*\" failed; all of its output is in $log"
  fi
}

build_tree()
{
  need_packages required $packages_build
  need_packages optional $packages_bench
  mkdir -p "$build" || die "could not make $build"
  if [ ! -x "$top/configure" ]; then
    say "making configure"
    (cd "$top" && quietly "$build/autoreconf.log" autoreconf -fi) || exit 1
  fi
  if [ ! -f "$build/Makefile" ]; then
    say "configuring build/"
    (cd "$build" && quietly "$build/configure.log" "$top/configure") || exit 1
  fi
  say "building in build/"
  quietly "$build/make.log" make -C "$build" -j "$jobs"
}
