#!/usr/bin/env bash
# pg_dump, pg_dumpall, pg_restore and psql: what is dumped, restored and dumped again is the same.
set -uo pipefail
database=$PGDATABASE
copy=${database/drivers/restored}
fresh() { psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $copy" -c "CREATE DATABASE $copy TEMPLATE template0"; }
for format in plain custom directory tar; do
    echo "== $format"
    fresh
    jobs=()
    [[ $format == directory ]] && jobs=(-j 2)
    pg_dump -F "$format" "${jobs[@]}" -f "dump.$format" || echo "pg_dump: $?"
    [[ $format == custom ]] && jobs=(-j 2)
    case $format in
        plain) psql -Xq -v ON_ERROR_STOP=1 -d "$copy" -f dump.plain >/dev/null || echo "psql: $?" ;;
        *) pg_restore -d "$copy" "${jobs[@]}" "dump.$format" || echo "pg_restore: $?" ;;
    esac
    # Each dump has a random word of its own in \restrict.
    pg_dump | grep -v '^.\(un\)\?restrict' >first.sql
    pg_dump -d "$copy" | grep -v '^.\(un\)\?restrict' >second.sql
    cmp first.sql second.sql && echo "the same after the round trip"
    rm -rf "dump.$format"
done
# Where the sequence stands depends on the programs that ran before.
pg_dump --inserts -t parent --data-only | grep -v -e '^.\(un\)\?restrict' -e setval
pg_dump --section=pre-data -n public | grep -c '^CREATE'
pg_dumpall --globals-only | grep -E '^(CREATE|ALTER) ROLE reader'
psql -Xq -d "$copy" -At -c "SELECT count(*) FROM parent" -c "SELECT count(*) FROM parent"
psql -Xq -d postgres -c "DROP DATABASE $copy"
vacuumdb -q -z && reindexdb -q && clusterdb -q && echo maintained
createdb "$copy" && dropdb "$copy" && echo created and dropped
createuser made && dropuser made && echo user made and dropped
pg_isready -q && echo ready
psql -XAtc "SELECT count(*) FROM child" -c "SELECT count(*) FROM child"
