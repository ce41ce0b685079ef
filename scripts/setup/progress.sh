# Phases of ./setup as people see them: one line each, with the seconds it took. Sourced, not run.
# shellcheck shell=bash disable=SC2154
phases=0

seconds_since() { # START: seconds with one decimal since START, a value of EPOCHREALTIME
  local tenths=$(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 100000))
  echo "$((tenths / 10)).$((tenths % 10))"
}

phase() { # TITLE COMMAND...: run COMMAND with its output in the log; stop with an explanation when it fails
  local title=$1 start=$EPOCHREALTIME pid code=0
  shift
  phases=$((phases + 1))
  echo "=== $title: $*" >>"$log"
  (set -e; "$@") >>"$log" 2>&1 </dev/null &
  pid=$!
  if [ -t 1 ]; then
    while kill -0 "$pid" 2>/dev/null; do
      printf '\r  … %-46s %6s s' "$title" "$(seconds_since "$start")"
      sleep 0.2
    done
    printf '\r'
  fi
  wait "$pid" || code=$?
  if [ "$code" = 0 ]; then
    printf '  ✓ %-46s %6s s\n' "$title" "$(seconds_since "$start")"
    return
  fi
  printf '  ✗ %-46s %6s s\n' "$title" "$(seconds_since "$start")"
  {
    echo
    tail -n 15 "$log" | sed 's/^/    /'
    echo
    echo "setup: \"$title\" failed (exit code $code). The whole log: $log"
    echo "       Remove the cause and run ./setup $mode again: it goes on where it stopped."
  } >&2
  exit 1
}
