import Telemetry

/// What the text of one statement says, before any name in it is resolved.
///
/// A pure function of the text, so it is memoised by text alone. Every set is a superset of what
/// the statement can touch.
package struct SyntaxFacts: Sendable {
    package enum Kind: Hashable, Sendable {
        /// SELECT, VALUES, TABLE: writes only through `writes` (CTEs) and `functions`.
        case query
        /// INSERT, UPDATE, DELETE, MERGE, COPY FROM, TRUNCATE, REFRESH: `writes` and `functions`.
        case dataModification
        case transaction(TransactionCommand)
        case setting(SettingChange)
        case harmless
        /// LOCK and the like.
        case locking
        /// Makes a temporary table or sequence; nothing permanent changes.
        case temporaryObject
        /// DDL, GRANT, ALTER …: changes the catalog.
        case definition
        /// EXECUTE, CALL, DO and whatever is not known.
        case opaque(mayEndTransaction: Bool)
    }

    package var kind: Kind
    package var reads: Set<RelationName> = []
    /// How often each of `reads` is mentioned.
    package var occurrences: [RelationName: Int] = [:]
    /// The FROM clauses with conditions that say which rows matter.
    package var keyScopes: [KeyScope] = []
    /// How often each parameter, counted from 0, occurs.
    package var parameterUses: [Int: Int] = [:]
    package var writes: Set<WriteTarget> = []
    package var functions: Set<FunctionUse> = []
    package var operators: Set<String> = []
    package var types: Set<TypeUse> = []
    /// The last name of each column reference, and each `.name` behind an expression.
    package var columns: Set<String> = []
    /// Columns that the statement itself names: outputs of subqueries, column aliases.
    package var aliases: Set<String> = []
    /// A function in FROM: its columns cannot be told from a table's by name.
    package var readsFunction = false

    /// Columns and functions that must have a date or time type for a cast to one to be no text
    /// conversion (a text column may hold `today`).
    package var timeCastColumns: Set<String> = []
    package var timeCastFunctions: Set<FunctionUse> = []
    /// A cast to a date or time type of something that may be text.
    package var hasUnprovenTimeCast = false
    /// A literal contains now, today, tomorrow or yesterday.
    package var hasRelativeTimeLiteral = false

    /// A database to which nobody may be connected while the statement runs.
    package var exclusiveDatabase: String?
    /// The body of a DO statement; its names are resolved in all schemas.
    package var code: CodeBlock?
    /// CALL and DO: where it turns out to be opaque it may commit or roll back.
    package var mayEndTransaction = false
    /// Settings with a dot in their names, lower-case, that it reads with `current_setting`.
    package var settingsRead: Set<String> = []

    /// Why a read may not be answered from memory, by its text alone.
    package var bypassReason: BypassReason?
    package var takesRowLocks = false

    package init(kind: Kind) {
        self.kind = kind
    }

    /// The first reason stays.
    mutating func bypass(_ reason: BypassReason) {
        if bypassReason == nil { bypassReason = reason }
    }

    /// Whether nothing in it has a name: `SELECT 1`.
    package var isConstant: Bool {
        reads.isEmpty && writes.isEmpty && functions.isEmpty && operators.isEmpty
            && types.isEmpty && columns.isEmpty && code == nil
    }

    /// Whether the profile follows from the text alone.
    package var needsCatalog: Bool {
        switch kind {
        case .query: !isConstant
        case .dataModification, .temporaryObject, .definition: true
        case .harmless: !functions.isEmpty || !reads.isEmpty
        case .transaction, .setting, .locking, .opaque: false
        }
    }
}

/// A relation as it is named in the text.
package struct RelationName: Hashable, Sendable {
    package let schema: String?
    package let name: String

    package init(schema: String? = nil, name: String) {
        self.schema = schema
        self.name = name
    }

    /// Whether the name is in a schema of temporary objects.
    package var isTemporary: Bool { schema.map(Self.isTemporarySchema) ?? false }

    package static func isTemporarySchema(_ schema: String) -> Bool {
        schema == "pg_temp" || schema.hasPrefix("pg_temp_")
    }
}

/// A relation that a statement changes, and how.
package struct WriteTarget: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case insert
        /// UPDATE and ON CONFLICT DO UPDATE, of these columns.
        case update(Set<String>)
        case delete
        /// MERGE: any of them.
        case change
        case truncate(cascade: Bool)
        case refresh
    }

    package let relation: RelationName
    package let action: Action
    package let rows: WrittenRows

    package init(relation: RelationName, action: Action, rows: WrittenRows = .any) {
        self.relation = relation
        self.action = action
        self.rows = rows
    }

    /// The same of rows that are not known.
    var ofAnyRow: WriteTarget { WriteTarget(relation: relation, action: action) }
}

/// A call as it is written.
package struct FunctionUse: Hashable, Sendable {
    package let schema: String?
    package let name: String
    /// nil where the number of arguments says nothing about the overload (VARIADIC, WITHIN GROUP).
    package let argumentCount: Int?
    /// `current_setting` of a constant name whose value the session knows.
    package let readsKnownSetting: Bool

    package init(
        schema: String? = nil, name: String, argumentCount: Int?, readsKnownSetting: Bool = false
    ) {
        self.schema = schema
        self.name = name
        self.argumentCount = argumentCount
        self.readsKnownSetting = readsKnownSetting
    }
}

/// A type as it is named in a cast or a column definition list.
package struct TypeUse: Hashable, Sendable {
    package let schema: String?
    package let name: String

    package init(schema: String? = nil, name: String) {
        self.schema = schema
        self.name = name
    }

    /// Names of the types whose text input knows `now` and `today`.
    static let timeNames: Set<String> = [
        "date", "time", "timetz", "timestamp", "timestamptz", "abstime", "daterange", "tsrange",
        "tstzrange", "datemultirange", "tsmultirange", "tstzmultirange", "_date", "_time",
        "_timetz", "_timestamp", "_timestamptz",
    ]

    var isTime: Bool { Self.timeNames.contains(name) }
}
