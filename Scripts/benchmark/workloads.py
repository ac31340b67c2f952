"""What is asked: a row by its key, and an aggregate over a join."""

KEYS = 1000

BY_KEY = "SELECT * FROM flights WHERE id = :id;"
DELAYS = (
    "SELECT a.name, count(*) AS flights, avg(f.arr_delay) AS delay FROM flights f"
    " JOIN airlines a ON a.carrier = f.carrier GROUP BY a.name ORDER BY a.name;"
)
# Workload: title, and the scripts that measure and that warm.
WORKLOADS = {
    "key": ("select by key", f"\\set id random(1, {KEYS})\n{BY_KEY}\n", f"\\set id :id + 1\n{BY_KEY}\n"),
    "aggregate": ("aggregate: delay by carrier", DELAYS + "\n", DELAYS + "\n"),
}
MODES = ["simple", "extended", "prepared"]
