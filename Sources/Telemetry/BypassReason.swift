/// Why a statement was not answered from, or not stored in, the cache.
///
/// Each case is at once the metric label, the log value and what an operator reads, so the raw
/// values are part of the product: do not rename one lightly.
package enum BypassReason: String, CaseIterable, Sendable {
    // The statement itself.
    case notARead = "not_a_read"
    case unparsed = "unparsed"
    case unsupportedSyntax = "unsupported_syntax"
    case multipleStatements = "multiple_statements"
    case noRelation = "no_relation"
    case volatileFunction = "volatile_function"
    case stableFunction = "stable_function"
    case userDefinedFunction = "user_defined_function"
    case userDefinedOperator = "user_defined_operator"
    case userDefinedType = "user_defined_type"
    case currentTimeOrUser = "current_time_or_user"
    case relativeTimeLiteral = "relative_time_literal"
    case lockingClause = "locking_clause"
    case tableSample = "table_sample"
    case systemColumn = "system_column"

    // What it reads.
    case systemCatalog = "system_catalog"
    case unknownRelation = "unknown_relation"
    case foreignTable = "foreign_table"
    case sequence = "sequence"
    case temporaryTable = "temporary_table"
    case rowLevelSecurity = "row_level_security"
    case virtualTable = "virtual_table"

    // The session and its transaction.
    case isolationLevel = "isolation_level"
    case transactionWrote = "transaction_wrote"
    case failedTransaction = "failed_transaction"
    case sessionState = "session_state"
    case repliesOutstanding = "replies_outstanding"
    case partialExecute = "partial_execute"
    case mixedSegment = "mixed_segment"

    // The cache and the configuration.
    case cacheDisabled = "cache_disabled"
    case rule = "rule"
    case catalogNotReady = "catalog_not_ready"
    case writerInFlight = "writer_in_flight"
    case foreignCommit = "foreign_commit"
    case entryTooLarge = "entry_too_large"
    case invalidatedDuringFill = "invalidated_during_fill"
    case replyNotStorable = "reply_not_storable"

    // The database.
    /// The server is a standby: it changes by writes that do not come through the proxy.
    case standby = "standby"
    /// The node is a mirror, and not certain enough of what it holds.
    case mirrorBehind = "mirror_behind"
}
