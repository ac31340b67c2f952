import Synchronization
import Telemetry

/// The name by which one relation family is known to the cache's version cells.
///
/// For PostgreSQL the decimal OID of the family's representative (a table stands for its whole
/// inheritance and partition tree); for SQLite the lower-cased table name. Opaque to its users.
package struct RelationIdentifier: Hashable, Sendable {
    package let rawValue: String

    package init(_ rawValue: String) {
        self.rawValue = rawValue
    }
}

/// A relation as analysis found it: its identity for the cache, its name for rules and people.
package struct Relation: Hashable, Sendable {
    package let identifier: RelationIdentifier
    /// Lower-case or quoted-case name without schema, as the database has it.
    package let name: String
    /// Empty where the database has no schemas.
    package let schema: String

    package init(identifier: RelationIdentifier, name: String, schema: String) {
        self.identifier = identifier
        self.name = name
        self.schema = schema
    }
}

/// What a statement may change.
package enum WriteSet: Hashable, Sendable {
    case nothing
    /// At most these relation families (triggers, cascades and partitions included), and in each
    /// at most the rows that its pins admit.
    case relations([RelationIdentifier: RowPins])
    /// Any relation: opaque or not understood; closes over the whole database.
    case everything
    /// Any relation and the catalog itself: DDL, GRANT, ALTER and whatever may run it.
    case everythingAndCatalog

    /// The smallest write set that covers both.
    package func union(_ other: WriteSet) -> WriteSet {
        switch (self, other) {
        case (.everythingAndCatalog, _), (_, .everythingAndCatalog): .everythingAndCatalog
        case (.everything, _), (_, .everything): .everything
        case (.nothing, let set), (let set, .nothing): set
        case (.relations(let left), .relations(let right)):
            .relations(left.merging(right) { $0.union($1) })
        }
    }

    /// Any row of these relation families.
    package static func relations(_ identifiers: Set<RelationIdentifier>) -> WriteSet {
        .relations(Dictionary(uniqueKeysWithValues: identifiers.map { ($0, .anyRow) }))
    }
}

/// Transaction control, by its effect on the session.
package enum TransactionCommand: Hashable, Sendable {
    /// BEGIN or START TRANSACTION. `isolation` is nil where the statement does not name a level;
    /// `plain` is true where it carries no option that reading the cache could be affected by
    /// (only ISOLATION LEVEL READ COMMITTED, READ WRITE, READ ONLY or NOT DEFERRABLE).
    case begin(isolation: IsolationLevel?)
    case commit(chain: Bool)
    case rollback(chain: Bool)
    case savepoint
    case releaseSavepoint
    case rollbackToSavepoint
    case prepareTransaction
    case commitPrepared
    case rollbackPrepared
    /// SET TRANSACTION …, of the running transaction.
    case setTransaction(isolation: IsolationLevel?)
}

package enum IsolationLevel: Hashable, Sendable {
    case readUncommitted, readCommitted, repeatableRead, serializable

    /// Whether every statement sees the newest committed state, so that the cache may answer.
    package var readsNewestCommitted: Bool {
        self == .readCommitted || self == .readUncommitted
    }
}

/// A change of session state that analysis could read in full.
package enum SettingChange: Hashable, Sendable {
    /// SET [SESSION] name TO constant (also SET ROLE, SET SESSION AUTHORIZATION and SET TIME ZONE,
    /// under the names `role`, `session_authorization`, `timezone`). The name is lower-case, the
    /// value is the statement's own list of constants, in one canonical spelling.
    case set(name: String, value: String)
    /// SET LOCAL name TO …: until the transaction ends. The value is nil where it is not a list of
    /// constants.
    case setLocal(name: String, value: String? = nil)
    /// RESET name, SET name TO DEFAULT.
    case reset(name: String)
    case resetAll
    case discardAll
    /// Anything that changes session state in a way that is not understood.
    case unknown
}

/// What analysis knows about one statement.
package struct StatementProfile: Sendable {
    package enum Kind: Hashable, Sendable {
        /// Changes nothing and leaves nothing behind; may or may not be cacheable.
        case read
        /// INSERT, UPDATE, DELETE, MERGE, COPY FROM, DDL, CALL, DO, a SELECT that writes …
        case write
        case transaction(TransactionCommand)
        case setting(SettingChange)
        /// Neither reads tables nor changes anything that an answer depends on (SHOW, LISTEN,
        /// VACUUM, DECLARE CURSOR of a read …).
        case harmless
        /// Takes locks or leaves session state (SELECT FOR UPDATE, LOCK, advisory locks) but
        /// changes no table: the rest of the transaction is not answered from memory.
        case locking
        /// Not understood. `writeSet` is then at least `.everything`.
        case opaque
    }

    package var kind: Kind
    /// The relations that the answer depends on, views and partitions resolved.
    package var readSet: [Relation]
    /// The rows of them, where that can be told: at least one for each family in `readSet`.
    package var dependencies: [RowDependency]
    package var writeSet: WriteSet
    /// nil where the statement may be answered from memory; else the first reason why not.
    package var bypassReason: BypassReason?
    /// Whether the session has, after this statement, state that the cache's key cannot hold
    /// (temporary tables, an unknown SET …): hits stop until the session is proven clean.
    package var taintsSession: Bool
    /// True where it may commit or roll back by itself (CALL and DO of procedures, opaque text).
    package var mayEndTransaction: Bool
    /// True where a parameter in text format must be inspected for `now`, `today` and the like.
    package var hasTimeTypedParameters: Bool
    /// Settings with a dot in their names (lower-case) that the answer depends on, through
    /// `current_setting` in the statement, a view or a row-level security policy: a session may
    /// only read or fill the cache with it while it knows their values.
    package var settingsRead: Set<String> = []
    /// Whether it reads a relation with row-level security.
    package var isSubjectToPolicies = false
    /// What it does to the server-side session besides; empty for most statements.
    package var sessionEffects: [SessionEffect] = []
    /// A hash of the columns of the relations that it names: as long as that is the same, so are the
    /// columns of its answer. nil where it is not known.
    package var shape: Int?

    package init(
        kind: Kind, readSet: [Relation] = [], dependencies: [RowDependency]? = nil,
        writeSet: WriteSet = .nothing,
        bypassReason: BypassReason? = .notARead, taintsSession: Bool = false,
        mayEndTransaction: Bool = false, hasTimeTypedParameters: Bool = true
    ) {
        self.kind = kind
        self.readSet = readSet
        self.dependencies =
            dependencies ?? readSet.map { RowDependency(relation: $0.identifier, scope: .all) }
        self.writeSet = writeSet
        self.bypassReason = bypassReason
        self.taintsSession = taintsSession
        self.mayEndTransaction = mayEndTransaction
        self.hasTimeTypedParameters = hasTimeTypedParameters
    }

    package var isCacheable: Bool { bypassReason == nil }

    /// What is assumed of text that cannot be analysed.
    package static func opaque(_ reason: BypassReason) -> StatementProfile {
        var profile = StatementProfile(
            kind: .opaque, writeSet: .everythingAndCatalog, bypassReason: reason,
            taintsSession: true, mayEndTransaction: true)
        profile.sessionEffects = [.unknown]
        return profile
    }
}

/// The profiles of all statements in one SQL string, in order. Empty for an empty query.
package final class QueryProfile: Sendable {
    package let statements: [StatementProfile]
    /// The state of the catalog (PostgreSQL: the catalog cell's word when it was loaded; SQLite:
    /// its schema version) that the profile was made from: a profile of an older one is remade.
    package let catalogVersion: UInt64
    /// What the profile's user has derived from it, to be derived once for all its executions.
    package let derived = Mutex<(any AnyObject & Sendable)?>(nil)

    package init(statements: [StatementProfile], catalogVersion: UInt64) {
        self.statements = statements
        self.catalogVersion = catalogVersion
    }
}

/// What names in a statement are resolved with.
package struct ResolutionContext: Hashable, Sendable {
    package let database: String
    package let sessionUser: String
    package let currentRole: String
    /// The value of `search_path` as SHOW prints it.
    package let searchPath: String

    package init(database: String, sessionUser: String, currentRole: String, searchPath: String) {
        self.database = database
        self.sessionUser = sessionUser
        self.currentRole = currentRole
        self.searchPath = searchPath
    }
}

/// An analysis as far as it is there.
package enum ProfileLookup: Sendable {
    case known(QueryProfile)
    /// Being made; the completion given to `profile(of:…)` will be called once.
    case pending
}

/// Turns SQL text into profiles, memoised. One per upstream; never called for a hit.
package protocol StatementAnalyzer: Sendable {
    /// The profile of `sql`.
    ///
    /// Returns at once; where it has to ask the database (a catalog to load, a statement to
    /// prepare) it returns `.pending` and later calls `completion` exactly once, on any thread.
    /// It always calls it within a bounded time (2 s): a failure to learn more yields profiles that
    /// bypass (`catalogNotReady`) and write `.everything`.
    func profile(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext,
        completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup

    /// The version of the catalog that fresh profiles for `database` are made from.
    func catalogVersion(database: String) -> UInt64

    /// A relation that the identifier of a family stands for, to call it by a name; nil where the
    /// identifier is all that is known.
    func relation(_ identifier: RelationIdentifier, database: String) -> Relation?
}

extension StatementAnalyzer {
    package func relation(_ identifier: RelationIdentifier, database: String) -> Relation? { nil }
}
