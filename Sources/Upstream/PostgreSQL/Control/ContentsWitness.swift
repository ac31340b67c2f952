import Synchronization

/// Tells by what the server itself says whether its contents are still those of an earlier moment.
///
/// What the answer holds, and why two equal answers mean equal contents:
/// - the system identifier, the timeline, and when the server was started: one life of one server, no
///   copy of it, no restore, no failover. When its statistics were reset, which a crash of one of
///   its processes does as well, that loses unlogged tables and commits not yet on disk;
/// - when it last read its configuration files: no other setting;
/// - the snapshot of running transactions. Whatever changes contents (rows, the catalog, roles,
///   settings of roles) has a transaction id, and a commit shows in every later snapshot: as a
///   larger end, or as an id that is no longer listed as running. The position in the write-ahead log
///   would also move where nothing changes (checkpoints, vacuum, hints).
///
/// A standby, whose contents come from elsewhere, has no answer.
///
/// **What is still under way.** A write may have been sent by a Mynah that was killed, and commit
/// after the question. A server-side session ends when its client is gone, but not before it has run
/// what it was sent. So, where it matters (`mustBeQuiet`), there must be no session on the server but
/// the one that asks: idle ones cannot be told from those that are about to read a statement. It
/// waits a little for those of the process before to end. One that ends between the two halves of
/// that question is seen by the next, which has to be answered in the same way.
final class ContentsWitness: Sendable {
    private let conninfo: String
    private let namesUser: Bool
    private let canTell: Bool
    private let forget: @Sendable () -> Void
    /// What watches over answers that were taken over from an earlier process.
    private let watches = Mutex<[(database: String, connection: ControlConnection)]>([])

    private static let patience = Duration.seconds(2)

    init(
        conninfo: String, namesUser: Bool, canTell: Bool, forget: @escaping @Sendable () -> Void
    ) {
        self.conninfo = conninfo
        self.namesUser = namesUser
        self.canTell = canTell
        self.forget = forget
    }

    /// See `Upstream.contents`.
    func contents(
        _ question: ContentsQuestion, during body: @Sendable () -> Void
    ) async -> [String: String]? {
        guard canTell else {
            body()
            return nil
        }
        // Not one of those that sessions have opened for their own user: that user may be gone.
        let connection = ControlConnection(
            conninfo: conninfo, database: question.database,
            user: namesUser ? nil : question.user, onServerChanged: forget)
        var isKept = false
        defer { if !isKept { connection.close() } }
        let before =
            question.mustBeQuiet
            ? await quietFacts(connection) : await Self.facts(connection)?.facts
        body()
        guard let before, let after = await Self.facts(connection)?.facts, before == after else {
            return nil
        }
        if question.mustBeQuiet {
            isKept = true
            watches.withLock { $0.append((question.database, connection)) }
        }
        return after
    }

    /// The facts, once nobody else is connected.
    private func quietFacts(_ connection: ControlConnection) async -> [String: String]? {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            guard let answer = await Self.facts(connection) else { return nil }
            if answer.isAlone { return answer.facts }
            guard ContinuousClock.now < deadline else { return nil }
            do { try await Task.sleep(for: .milliseconds(20)) } catch { return nil }
        }
    }

    /// Whoever needs a database to itself must not find us there. From then on nobody watches.
    func leave(database: String) {
        let left = watches.withLock { watches in
            let left = watches.filter { $0.database == database }
            watches.removeAll { $0.database == database }
            return left
        }
        guard !left.isEmpty else { return }
        for watch in left { watch.connection.close() }
        forget()
    }

    func close() {
        let all = watches.withLock { watches in
            defer { watches = [] }
            return watches
        }
        for watch in all { watch.connection.close() }
    }

    private struct Answer: Sendable {
        let facts: [String: String]
        let isAlone: Bool
    }

    private static func facts(_ connection: ControlConnection) async -> Answer? {
        try? await connection.run { session throws(ControlError) -> Answer? in
            let row = try session.query(question)
            guard row.rowCount == 1, row.boolean(0, names.count) == false else { return nil }
            var facts = ["server": "postgresql"]
            for (column, name) in names.enumerated() {
                facts[name] = try row.string(0, column)
            }
            return Answer(facts: facts, isAlone: row.boolean(0, names.count + 1))
        }
    }

    /// The columns of `question`, but for the last two.
    private static let names = [
        "system", "timeline", "started", "configured", "transactions", "statistics", "version",
    ]

    /// Times as numbers: how a time is printed depends on settings. All of it is for everybody to
    /// ask; whose sessions there are as well, if not what they do.
    private static let question: StaticString = """
        SELECT s.system_identifier::pg_catalog.text, c.timeline_id::pg_catalog.text,
            pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.text,
            pg_catalog.date_part('epoch', pg_catalog.pg_conf_load_time())::pg_catalog.text,
            pg_catalog.txid_current_snapshot()::pg_catalog.text,
            coalesce(pg_catalog.date_part(
                'epoch', pg_catalog.pg_stat_get_bgwriter_stat_reset_time())::pg_catalog.text, ''),
            pg_catalog.current_setting('server_version_num'),
            pg_catalog.pg_is_in_recovery(),
            NOT EXISTS (
                SELECT FROM pg_catalog.pg_stat_activity
                WHERE datid IS NOT NULL AND pid <> pg_catalog.pg_backend_pid())
        FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_control_checkpoint() AS c
        """
}
