# Debian packages for ./setup. Sourced, not run.
# shellcheck shell=bash
policy=/usr/sbin/policy-rc.d
policy_mark="# written by Stackling's setup for the time of an installation"
account=libvirt-qemu

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E "$@"; fi
}

packages_missing() { # FILE...: those listed in FILES that are not installed, one a line
  local wanted
  wanted=$(sed -e 's/#.*//' -e '/^\s*$/d' "$@" | sort -u)
  # shellcheck disable=SC2086
  comm -23 <(echo "$wanted") <(packages_installed $wanted)
}

packages_installed() {
  dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^ii  *//p' | sort -u
}

packages_install() { # PACKAGE...
  if ! command -v apt-get >/dev/null; then
    echo "This is not Debian. Install these by other means, or use './setup python' and 'stackling up --simulated': $*"
    return 1
  fi
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "Root is needed once. As root: apt-get install --no-install-recommends $*"
    return 1
  fi
  as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 bash -c "
    set -euo pipefail
    $(declare -p policy policy_mark)
    $(declare -f services_forbid services_allow services_disable postgresql_preset apt_install)
    apt_install $*"
}

apt_install() {
  local options=(-y -q -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3
    -o DPkg::Lock::Timeout=300 --no-install-recommends)
  local lists=/var/lib/apt/lists fresh
  trap services_allow EXIT
  services_forbid
  postgresql_preset
  # An interrupted installation is completed first.
  [ -z "$(dpkg --audit)" ] || dpkg --configure -a --force-confold
  fresh=$(find "$lists" -maxdepth 1 -name '*Packages*' -mmin -720 2>/dev/null | head -n 1)
  [ -n "$fresh" ] || apt-get update -q
  # Lists that are not old enough to be renewed may still name packages that are gone.
  apt-get install "${options[@]}" "$@" || { apt-get update -q; apt-get install "${options[@]}" "$@"; }
  services_disable "$@"
}

# Stackling runs its own libvirtd, Open vSwitch and databases from its state directory. The packages' services would
# only cost memory and ports, so they are neither started now nor at the next boot.
services_forbid() {
  [ ! -e "$policy" ] || grep -qF "$policy_mark" "$policy" || mv "$policy" "$policy.stackling-saved"
  printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy"
  chmod 755 "$policy"
}

services_allow() {
  ! grep -qsF "$policy_mark" "$policy" || rm -f "$policy"
  [ ! -e "$policy.stackling-saved" ] || mv "$policy.stackling-saved" "$policy"
}

services_restore() { # what an installation that was killed has left
  ! grep -qsF "$policy_mark" "$policy" || as_root bash -c "$(declare -p policy policy_mark); $(declare -f services_allow)
    services_allow" || true
}

services_disable() { # PACKAGE...: those just installed
  local package units
  command -v systemctl >/dev/null || return 0
  for package in "$@"; do
    units=$(dpkg -L "$package" | sed -n 's|^\(/usr\)\?/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$|\2|p')
    # shellcheck disable=SC2086
    [ -z "$units" ] || systemctl disable -q $units 2>/dev/null || true
  done
}

postgresql_preset() { # the tests make their own clusters
  local conf=/etc/postgresql-common/createcluster.conf
  [ -e "$conf" ] || dpkg-query -W postgresql-common >/dev/null 2>&1 || {
    mkdir -p "${conf%/*}"
    echo 'create_main_cluster = false' >"$conf"
  }
}

account_ready() { getent passwd "$account" >/dev/null && getent group "$account" >/dev/null; }

account_create() { # the one that Debian's libvirt-daemon-system would make; virtual machines run under it
  local id=64055 uid= gid=
  getent passwd $id >/dev/null || uid=$id
  getent group $id >/dev/null || gid=$id
  as_root groupadd --system --force kvm
  getent group "$account" >/dev/null || as_root groupadd --system ${gid:+--gid $gid} "$account"
  getent passwd "$account" >/dev/null || as_root useradd --system ${uid:+--uid $uid} --gid kvm \
    --home-dir /var/lib/libvirt --no-create-home --shell /usr/sbin/nologin --comment "Libvirt Qemu" "$account"
  as_root usermod --append --groups "$account" "$account"
}

guest_packages() { PYTHONPATH=src .venv/bin/python -m stackling.deploy.guest.packages "$@"; }
guest_packages_ready() { guest_packages --check; }
guest_packages_fetch() { guest_packages; }

# Debian's pacemaker-remote can't be installed beside pacemaker, and a lab's machines share this machine's programs: some
# of them are full members, others are reached by pacemaker_remote. So its one program is kept apart.
remote=/usr/lib/stackling/pacemaker-remoted
remote_ready() { command -v pacemaker-remoted >/dev/null || [ -x "$remote" ]; }

remote_fetch() {
  local directory
  directory=$(mktemp -d)
  chmod 755 "$directory"
  (cd "$directory" && apt-get download -q pacemaker-remote)
  dpkg-deb --extract "$directory"/pacemaker-remote_*.deb "$directory/unpacked"
  as_root install -D -m 755 "$directory/unpacked/usr/sbin/pacemaker-remoted" "$remote"
  rm -rf "$directory"
}
