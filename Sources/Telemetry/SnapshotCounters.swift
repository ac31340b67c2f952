import Synchronization

/// Counters of snapshots and warm-ups.
package final class SnapshotCounters: Sendable {
    package let written = Counter()
    package let failed = Counter()
    /// Of the snapshot written last: when, in milliseconds since 1970, and what is in it.
    package let lastTime = Gauge()
    package let lastDuration = Gauge()
    package let lastBytes = Gauge()
    package let lastEntries = Gauge()
    /// Attempts to use one, by what came of it.
    package let restored = Counter()
    package let warmedUp = Counter()
    package let refused = Counter()
    package let entriesRestored = Counter()
    package let entriesSkipped = Counter()

    package let warmUpRun = Counter()
    package let warmUpFailed = Counter()
    package let warmUpSkipped = Counter()
    /// Statements that a warm-up still has before it.
    package let warmUpPending = Gauge()

    package init() {}

    func write(to text: inout PrometheusText) {
        text.declare("mynah_snapshots_total", .counter, help: "Snapshots, by result.")
        text.sample("mynah_snapshots_total", labels: [("result", "written")], written.value)
        text.sample("mynah_snapshots_total", labels: [("result", "failed")], failed.value)
        text.gauge(
            "mynah_snapshot_last_time_seconds",
            help: "When a snapshot was last written, in Unix time; 0: not yet.",
            Double(lastTime.value) / 1000)
        text.gauge(
            "mynah_snapshot_last_duration_seconds",
            help: "How long it took to write the last snapshot.", Double(lastDuration.value) / 1000)
        text.gauge(
            "mynah_snapshot_last_bytes", help: "Size of the snapshot written last.",
            lastBytes.value)
        text.gauge(
            "mynah_snapshot_last_entries", help: "Answers in the snapshot written last.",
            lastEntries.value)
        text.declare(
            "mynah_snapshot_restores_total", .counter,
            help: "Snapshots read, by whether their answers were used, run again, or refused.")
        for (result, counter) in [
            ("restored", restored), ("warm_up", warmedUp), ("refused", refused),
        ] {
            text.sample(
                "mynah_snapshot_restores_total", labels: [("result", result)], counter.value)
        }
        text.declare(
            "mynah_snapshot_entries_total", .counter,
            help: "Answers of snapshots that could be used, by whether they were stored.")
        text.sample(
            "mynah_snapshot_entries_total", labels: [("result", "restored")], entriesRestored.value)
        text.sample(
            "mynah_snapshot_entries_total", labels: [("result", "skipped")], entriesSkipped.value)
        text.declare(
            "mynah_warm_up_statements_total", .counter,
            help: "Statements of warm-ups, by result.")
        for (result, counter) in [
            ("run", warmUpRun), ("failed", warmUpFailed), ("skipped", warmUpSkipped),
        ] {
            text.sample(
                "mynah_warm_up_statements_total", labels: [("result", result)], counter.value)
        }
        text.gauge(
            "mynah_warm_up_pending", help: "Statements that a warm-up has yet to run.",
            warmUpPending.value)
    }
}
