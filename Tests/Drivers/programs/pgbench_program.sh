#!/usr/bin/env bash
# pgbench: all protocols and built-in scripts; the sums that must agree afterwards.
set -uo pipefail
pgbench() { command pgbench "$@" 2>&1 | grep -E '^(number of transactions actually|number of failed|scaling|query mode|pgbench: error)'; }
value() { psql -XAtqc "$1"; }
pgbench -i -q -s 1 --foreign-keys
value "SELECT count(*) FROM pgbench_accounts"
for mode in simple extended prepared; do
    for script in tpcb-like simple-update select-only; do
        echo "== $script, $mode"
        pgbench -n -b "$script" -M "$mode" -c 4 -j 2 -t 50
        value "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)"
        value "SELECT count(*) FROM pgbench_history"
    done
done
value "SELECT (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(tbalance) FROM pgbench_tellers)"
echo "== own script"
cat >own.sql <<'SQL'
\set a random(1, 5)
\startpipeline
SELECT abalance FROM pgbench_accounts WHERE aid = :a;
SELECT bbalance FROM pgbench_branches WHERE bid = 1;
\endpipeline
SELECT filler AS f FROM pgbench_branches WHERE bid = 1 \gset
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a;
COMMIT;
SQL
value "UPDATE pgbench_accounts SET abalance = 0"
pgbench -n -f own.sql -M prepared -c 4 -t 50
value "SELECT sum(abalance) FROM pgbench_accounts WHERE aid BETWEEN 1 AND 5"
echo "== connecting anew for each transaction"
pgbench -n -b select-only -C -c 2 -t 20
value "DROP TABLE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history"
echo done
