# The Python environments for ./setup. Sourced, not run.
# shellcheck shell=bash disable=SC2154
venv=.venv made=python # the directory, and the file under .setup that says what it was made from

python_other() { # DIRECTORY: speak of another environment than the project's own
  venv=$1 made=python-${1#.}
}

python_ready() { # LOCK: whether the environment holds exactly what LOCK says
  local site wanted
  site=$(echo "$venv"/lib/python3.*/site-packages)
  [ -x "$venv/bin/python" ] && [ -d "$site" ] || return 1
  [ "$(cat "$state/$made" 2>/dev/null)" = "$(python_digest "$1")" ] || return 1
  # Lines with a marker may be meant for other machines.
  wanted=$(sed -n 's/^\([^=; ]*\)==\([^; ]*\) \\$/\1-\2/p' "$1" | normalized)
  [ -z "$(comm -23 <(echo "$wanted") <(python_installed "$site"))" ]
}

python_installed() { # DIRECTORY: name-version of each distribution in it
  (cd "$1" && printf '%s\n' *.dist-info) | sed 's/\.dist-info$//' | normalized
}

normalized() { tr 'A-Z._' 'a-z--' | sort; }

python_digest() { sha256sum "$1" requirements/uv.lock | sha256sum; }

python_find() { # Debian's own Python first: it is the one that the packages' bindings belong to
  local candidate
  for candidate in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "No Python of version 3.11 or later with the venv module was found. On Debian: apt-get install python3-venv" >&2
  return 1
}

python_install() { # LOCK
  local python
  rm -f "$state/$made"
  if ! "$venv/bin/python" -m pip --version 2>/dev/null; then
    python=$(python_find)
    rm -rf "$venv"
    "$python" -m venv "$venv"
  fi
  # uv installs several times faster than pip; where it can't reach the registry (it does not read pip's
  # configuration) pip does the same from the same lock file.
  "$venv/bin/pip" install -q --require-hashes -r requirements/uv.lock
  UV_SYSTEM_CERTS=1 "$venv/bin/uv" pip install -q --compile-bytecode -p "$venv/bin/python" --require-hashes -r "$1" ||
    "$venv/bin/pip" install -q --require-hashes -r "$1"
  python_digest "$1" >"$state/$made"
}

project_ready() {
  [ -x "$venv/bin/stackling" ] && [ "$(cat "$state/project" 2>/dev/null)" = "$(project_digest)" ]
}

project_digest() { { sed -n '/^\[tool.ruff\]/q;p' pyproject.toml; cat src/stackling/__init__.py; pwd; } | sha256sum; }

project_install() {
  "$venv/bin/pip" install -q --no-deps --no-build-isolation --editable .
  project_digest >"$state/project"
}
