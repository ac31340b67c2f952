#!/usr/bin/env bash
# psql: the script with all backslash commands, twice in sessions of their own.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
echo "SELECT name FROM parent WHERE id = 7;" >included.sql
script=$here/psql_commands.sql
[[ ${1:-full} == common ]] && script=$here/psql_common.sql
for round in 1 2; do
    echo "== round $round"
    HOME=$work psql -X -a -L log.txt -f "$script" 2>&1 | sed -e "s|$here/||g"
    [[ -s log.txt ]] || echo "no log"
done
# Single statements from the command line: both protocols' simplest use, and its errors.
for arguments in "-Atc SELECT+1" "-c SELECT+no_such" "-1c SELECT+2;SELECT+3" "-Atqc SELECT+count(*)" \
    "-d no_such_database"; do
    [[ ${1:-full} == common && $arguments == -d* ]] && continue
    read -ra words <<<"$arguments"
    psql -X "${words[@]//+/ }" 2>&1
    echo "status $?"
done
[[ ${1:-full} == common ]] || psql -X -l
