extension ReplicationFigures {
    func write(to text: inout PrometheusText) {
        text.declare(
            "mynah_replication_role", .gauge, help: "1 for what the node is: primary or replica.")
        for role in Role.allCases {
            text.sample(
                "mynah_replication_role", labels: [("role", role.rawValue)],
                role == self.role ? 1 : 0)
        }
        text.declare(
            "mynah_replication_epoch_info", .gauge,
            help: "1, with the epoch of the log: the same on all nodes that mirror one another.")
        text.sample("mynah_replication_epoch_info", labels: [("epoch", "\(epoch)")], 1)
        text.counter(
            "mynah_replication_log_index", help: "Number of the last record in the node's log.",
            index)
        text.declare(
            "mynah_replication_takeovers_total", .counter,
            help: "How often the node has taken the lead, by what became of its mirror.")
        text.sample(
            "mynah_replication_takeovers_total", labels: [("mirror", "kept")], takeoversWithMirror)
        text.sample(
            "mynah_replication_takeovers_total", labels: [("mirror", "dropped")],
            takeovers - takeoversWithMirror)
        if let followed { write(followed, to: &text) }
        if let following { write(following, to: &text) }
    }

    private func write(_ followed: Followed, to text: inout PrometheusText) {
        text.gauge(
            "mynah_replication_followers", help: "Nodes that follow this one.", followed.followers)
        text.gauge(
            "mynah_replication_leases",
            help: "Followers that may answer from memory.", followed.leases)
        text.gauge(
            "mynah_replication_waiting_commits",
            help: "Commits that wait for followers to acknowledge (mode sync).",
            followed.waitingCommits)
        text.gauge(
            "mynah_replication_buffer_bytes",
            help: "Memory of records that some follower has not been sent.", followed.heldBytes)
        text.counter(
            "mynah_replication_sent_bytes_total", help: "Bytes sent to followers.",
            followed.sentBytes)
        text.counter(
            "mynah_replication_follower_resyncs_total",
            help: "How often a follower was too slow and had to begin anew.", followed.resyncs)
        text.counter(
            "mynah_replication_refused_total",
            help: "Connections to the mirror port that were refused.", followed.refused)
    }

    private func write(_ following: Following, to text: inout PrometheusText) {
        text.gauge(
            "mynah_replication_connected", help: "Whether the node hears from its primary.",
            following.isConnected ? 1 : 0)
        text.gauge(
            "mynah_replication_lease_held",
            help: "Whether the node may answer from memory.", following.hasLease ? 1 : 0)
        if let lag = following.lag {
            text.declare(
                "mynah_replication_lag_seconds", .gauge,
                help: "How old an answer from memory can be; above the lease none is given.")
            text.sample("mynah_replication_lag_seconds", labels: [], lag)
        }
        text.counter(
            "mynah_replication_received_bytes_total", help: "Bytes received from the primary.",
            following.receivedBytes)
        text.counter(
            "mynah_replication_records_total", help: "Records applied.", following.records)
        text.counter(
            "mynah_replication_entries_total",
            help: "Answers taken over when following began.", following.entries)
        text.counter(
            "mynah_replication_resyncs_total",
            help: "How often the node has taken over its primary's cache anew.",
            following.resyncs)
    }
}
