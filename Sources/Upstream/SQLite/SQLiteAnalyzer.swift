import CSQLite
import PostgresWire
import SQLAnalysis
import Synchronization
import Telemetry

/// Profiles of statements, from SQLite's own authorizer.
///
/// A statement is compiled, not run, on a connection of the analyzer's own; what the authorizer
/// reports is its read set and write set, through views, triggers, foreign key actions and REPLACE.
/// Default deny: a function that is not on the list of deterministic ones, a virtual table or
/// anything that fails to compile makes a statement bypass.
final class SQLiteAnalyzer: StatementAnalyzer {
    private struct Superseded {
        let profile: QueryProfile
        let until: ContinuousClock.Instant
    }

    private struct Entry {
        /// By the parameter types declared with the text: keys are read by them.
        var profiles: [[UInt32]: QueryProfile] = [:]
        /// Profiles that a session may still act on, made from an older schema.
        var superseded: [Superseded] = []
    }

    private struct State {
        var entries: [ExactText: Entry] = [:]
        var previous: [ExactText: Entry] = [:]
        var waiting = 0
    }

    /// Longer than any time between a session's look at a profile and the end of the write.
    private static let supersededFor: Duration = .seconds(60)
    private static let maximumTypings = 4
    /// Texts being compiled or waiting for it. With the analysis thread's lock wait of one second
    /// this keeps the answer within two.
    private static let maximumWaiting = 256
    private static let longestText = 256 << 10

    private let database: SQLiteDatabase
    private let capacity: Int
    private let state = Mutex(State())

    init(database: SQLiteDatabase) {
        self.database = database
        capacity = max(2, database.settings.memoLimit)
    }

    func catalogVersion(database: String) -> UInt64 {
        self.database.cells.catalog.current
    }

    func profile(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext,
        completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup {
        // Read before the text is compiled: what changes meanwhile makes the profile old.
        let version = database.cells.catalog.current
        if sql.utf8.count > Self.longestText {
            return .known(
                QueryProfile(statements: [Self.unread(.unparsed)], catalogVersion: version))
        }
        let known: ProfileLookup? = state.withLock { state in
            if let profile = find(sql, &state)?.profiles[parameterTypes],
                profile.catalogVersion == version
            {
                return .known(profile)
            }
            guard state.waiting < Self.maximumWaiting else {
                return .known(
                    QueryProfile(
                        statements: [Self.unread(.catalogNotReady)], catalogVersion: version))
            }
            state.waiting += 1
            return nil
        }
        if let known { return known }
        let user = context.sessionUser
        database.analysis.submit { [self] connection in
            let profile: QueryProfile
            switch connection {
            case .success(let connection):
                profile = QueryProfile(
                    statements: SQLiteProfiler(
                        connection: connection, database: database, user: user,
                        declaredTypes: parameterTypes
                    ).profiles(of: sql), catalogVersion: version)
            case .failure:
                profile = QueryProfile(
                    statements: [Self.unread(.catalogNotReady)], catalogVersion: version)
            }
            state.withLock { state in
                state.waiting -= 1
                remember(profile, for: sql, parameterTypes, &state)
            }
            completion(profile)
        }
        return .pending
    }

    /// What is assumed of a text that was not compiled.
    private static func unread(_ reason: BypassReason) -> StatementProfile {
        StatementProfile(
            kind: .opaque, writeSet: .everythingAndCatalog, bypassReason: reason,
            mayEndTransaction: true)
    }

    // MARK: The memo

    private func find(_ sql: String, _ state: inout State) -> Entry? {
        state.entries[sql] ?? state.previous[sql]
    }

    private func remember(
        _ profile: QueryProfile, for sql: String, _ types: [UInt32], _ state: inout State
    ) {
        let now = ContinuousClock.now
        var entry = find(sql, &state) ?? Entry()
        let isFull = entry.profiles.count >= Self.maximumTypings
        let old = entry.profiles.filter {
            $0.value.catalogVersion != profile.catalogVersion || (isFull && $0.key != types)
        }
        for (types, profile) in old {
            entry.profiles[types] = nil
            entry.superseded.append(
                Superseded(profile: profile, until: now + Self.supersededFor))
        }
        entry.superseded = entry.superseded.filter { $0.until > now }.suffix(8)
        entry.profiles[types] = profile
        // Two generations: what was not asked for during a whole one is forgotten.
        if state.entries.count >= capacity / 2 {
            state.previous = state.entries
            state.entries = [:]
        }
        state.entries[sql] = entry
    }

    /// Whether the profile of the text, in every version that a session may be acting on, had said
    /// that its statement number `index` may write `tables`. False for a text that has none.
    ///
    /// A profile that names the rows as well is believed only while the catalog is the one that
    /// it was made from: a trigger added since may write others. Asked inside the transaction that
    /// writes, whose beginning has looked for foreign changes.
    func foretold(
        _ tables: Set<String>, changesSchema: Bool, by sql: String, index: Int
    ) -> Bool {
        let now = ContinuousClock.now
        let profiles: [QueryProfile] = state.withLock { state in
            guard let entry = find(sql, &state) else { return [] }
            return Array(entry.profiles.values)
                + entry.superseded.filter { $0.until > now }.map(\.profile)
        }
        guard !profiles.isEmpty else { return false }
        let written = Set(tables.map { RelationIdentifier($0.lowercased()) })
        let version = database.cells.catalog.current
        return profiles.allSatisfy { profile in
            guard index < profile.statements.count else { return false }
            switch profile.statements[index].writeSet {
            case .everythingAndCatalog: return true
            case .everything: return !changesSchema
            case .relations(let set):
                return !changesSchema && written.isSubset(of: set.keys)
                    && (profile.catalogVersion == version
                        || set.values.allSatisfy { $0 == .anyRow })
            case .nothing: return !changesSchema && written.isEmpty
            }
        }
    }
}
