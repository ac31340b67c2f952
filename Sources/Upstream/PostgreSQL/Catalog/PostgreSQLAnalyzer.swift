import Dispatch
import Logging
import ResultCache
import SQLAnalysis
import Synchronization

/// Tells reads from writes for PostgreSQL: the server's own grammar for the text, the server's own
/// catalog for the names.
///
/// Parses on the caller's thread. The catalog of a database is read over a control connection
/// when it is first needed and whenever its version cell has moved; statements that need it wait
/// for that, for at most two seconds.
package final class PostgreSQLAnalyzer: StatementAnalyzer {
    /// After this long a waiting statement gets a profile that assumes the worst.
    static let patience: DispatchTimeInterval = .milliseconds(1_800)
    /// Statements that may wait for one catalog.
    static let maximumWaiters = 4_096

    private let cells: CellTable
    private let logger: Logger?
    private let controls: ControlConnections
    private let hasServer: Bool
    private let texts = Mutex(
        BoundedMemo<ExactText, Result<[SyntaxFacts], PgQuery.Failure>>(
            maximumCount: 16_384, maximumBytes: 32 << 20))
    private let catalogs = Mutex<[ExactText: CatalogSlot]>([:])

    /// - Parameters:
    ///   - conninfo: how to reach the server: a connection string or URI; nil: there is none, and
    ///     what needs a catalog is assumed to do the worst.
    ///   - cells: the cache's cells; the analyzer reads the `catalog` cells.
    ///   - onDoubt: called with a database's name when whatever is cached of it must go. On any thread.
    package init(
        conninfo: String?, cells: CellTable, logger: Logger? = nil,
        onDoubt: @escaping @Sendable (_ database: String, ContentsDoubt) -> Void = { _, _ in }
    ) {
        self.cells = cells
        self.logger = logger
        controls = ControlConnections(conninfo: conninfo ?? "", onDoubt: onDoubt)
        hasServer = conninfo != nil
    }

    /// Remembers the first user of a database: the control connection logs in as that user where
    /// the connection string names none.
    package func noteUser(_ user: String, database: String) {
        controls.noteUser(user, database: database)
    }

    /// Ends the control connection to `database`; there is a new one when something is asked of it.
    func leave(database: String) {
        controls.close(database: database)
    }

    /// Ends the control connections. Statements that wait get profiles that assume the worst.
    package func close() {
        controls.close()
    }

    /// Returns when the server accepts connections; throws what an operator should read.
    package func reachable() async throws(ControlError) {
        try await controls.reachable()
    }

    /// Returns when the backend with this process ID, and any worker of its, is gone.
    ///
    /// Asks until it knows: a server that cannot be reached proves nothing. Throws only when the
    /// task is cancelled. A nil key belongs to a session that never got to run a statement.
    package func waitUntilEnded(key processID: Int32?, database: String) async throws {
        guard let processID else { return }
        try await controls.waitUntilEnded(processID, database: database)
    }

    package func catalogVersion(database: String) -> UInt64 {
        cells.cell(.catalog(database: database)).current
    }

    package func relation(_ identifier: RelationIdentifier, database: String) -> Relation? {
        guard let family = UInt32(identifier.rawValue) else { return nil }
        return catalogs.withLock { $0[ExactText(database)] }?.relation(ofFamily: family)
    }

    package func profile(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext,
        completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup {
        let facts: [SyntaxFacts]
        switch self.facts(of: sql) {
        case .success(let success): facts = success
        case .failure:
            return .known(
                QueryProfile(
                    statements: [.opaque(.unparsed)],
                    catalogVersion: catalogVersion(database: context.database)))
        }
        let syntactic = facts.compactMap(ProfileResolver.syntacticProfile)
        if syntactic.count == facts.count {
            return .known(
                QueryProfile(
                    statements: syntactic,
                    catalogVersion: catalogVersion(database: context.database)))
        }
        let question = ProfileQuestion(
            sql: sql, parameterTypes: parameterTypes, context: context)
        return ask(question, facts, completion)
    }

    private func facts(of sql: String) -> Result<[SyntaxFacts], PgQuery.Failure> {
        if let known = texts.withLock({ $0.value(for: ExactText(sql)) }) { return known }
        let facts: Result<[SyntaxFacts], PgQuery.Failure>
        do throws(PgQuery.Failure) {
            facts = .success(try SyntaxAnalysis.facts(of: sql))
        } catch {
            facts = .failure(error)
        }
        // The facts are mostly names out of the text.
        let bytes = sql.utf8.count * 4 + 1_024
        texts.withLock { $0.add(facts, bytes: bytes, for: ExactText(sql)) }
        return facts
    }

    // MARK: Catalogs

    private func ask(
        _ question: ProfileQuestion, _ facts: [SyntaxFacts],
        _ completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup {
        let database = question.context.database
        let slot = catalogs.withLock { catalogs in
            if let slot = catalogs[ExactText(database)] { return slot }
            let slot = CatalogSlot(cell: cells.cell(.catalog(database: database)))
            catalogs[ExactText(database)] = slot
            return slot
        }
        if let profile = slot.profile(question, facts) { return .known(profile) }
        if let profile = slot.profileOfDefinitions(question, facts) { return .known(profile) }
        switch slot.wait(facts: facts, question: question, completion) {
        case .mustStart(let waiter):
            startDeadline(of: waiter, in: slot)
            load(slot, database: database)
            return .pending
        case .joined(let waiter):
            startDeadline(of: waiter, in: slot)
            return .pending
        case .refused:
            return .known(slot.conservativeProfile(question, facts))
        }
    }

    private func startDeadline(of waiter: Int, in slot: CatalogSlot) {
        DispatchQueue.global().asyncAfter(deadline: .now() + Self.patience) {
            slot.giveUp(waiter)
        }
    }

    private func load(_ slot: CatalogSlot, database: String) {
        let logger = logger
        let job: @Sendable (ControlSession?) -> Void = { session in
            guard let session else {
                slot.loadFailed()
                return
            }
            do throws(ControlError) {
                try slot.load { () throws(ControlError) in
                    try PostgreSQLCatalogReader.read(session)
                }
                slot.lastFailure.withLock { $0 = nil }
            } catch {
                // What is said again and again is said once.
                let reason = "\(error)"
                let isNews = slot.lastFailure.withLock { last in
                    defer { last = reason }
                    return last != reason
                }
                if isNews {
                    logger?.warning(
                        "cannot read the database's catalog; its statements are not cached",
                        metadata: ["database": "\(database)", "error": "\(reason)"])
                }
                slot.loadFailed()
            }
        }
        guard hasServer, let control = controls.connection(to: database) else {
            slot.loadFailed()
            return
        }
        control.submit(job)
    }
}

/// What a profile is asked for with.
struct ProfileQuestion: Hashable, Sendable {
    let text: ExactText
    let parameterTypes: [UInt32]
    let context: ResolutionContext

    var sql: String { text.text }

    init(sql: String, parameterTypes: [UInt32], context: ResolutionContext) {
        text = ExactText(sql)
        self.parameterTypes = parameterTypes
        self.context = context
    }
}
