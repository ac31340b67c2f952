extension BypassReason {
    /// What the reason means and what can be done about it: one sentence or two, for whoever asked
    /// why a statement is not answered from memory.
    package var explanation: String {
        switch self {
        case .notARead: "It changes data or the session, so it always runs in the database."
        case .unparsed:
            """
            PostgreSQL's grammar, version 15, does not accept it (or it cannot be read in the \
            client's encoding). It is forwarded as it is, and counts as a write of everything.
            """
        case .unsupportedSyntax:
            "It uses syntax whose answer cannot be followed. Write it in plain SELECT syntax."
        case .multipleStatements:
            "Several statements in one string are not cached. Send them one at a time."
        case .noRelation: "It reads no table, so there is nothing to save."
        case .volatileFunction:
            "It calls a volatile function, which may answer differently each time."
        case .stableFunction:
            """
            It calls a stable function whose inputs are not all known to the proxy. Compute its \
            value in the application and pass it as a parameter.
            """
        case .userDefinedFunction:
            """
            It calls a function of your own that is not proven to depend on its arguments alone. \
            Declare it IMMUTABLE if that is what it is.
            """
        case .userDefinedOperator:
            "It uses an operator that extensions or users have defined without an immutable function."
        case .userDefinedType:
            "It involves a type whose text depends on code or settings that the proxy cannot know."
        case .currentTimeOrUser:
            """
            It depends on the current time or user. Pass the time, rounded as coarsely as the \
            application can bear, as a parameter.
            """
        case .relativeTimeLiteral:
            "A word such as 'now' or 'today' may be read as the current time. Pass a date instead."
        case .lockingClause: "It takes row locks (FOR UPDATE and the like)."
        case .tableSample: "TABLESAMPLE picks other rows each time."
        case .systemColumn: "It reads a system column such as ctid or xmin."
        case .systemCatalog: "It reads the system catalogs, whose changes are not followed."
        case .unknownRelation: "It names a relation that does not exist, or is not visible here."
        case .foreignTable: "It reads a foreign table, whose changes are not seen."
        case .sequence: "It reads a sequence."
        case .temporaryTable: "It reads a temporary table, which only this session has."
        case .rowLevelSecurity:
            "A row-level security policy depends on something that the cache key does not hold."
        case .virtualTable: "It reads a virtual table, whose changes are not seen."
        case .isolationLevel:
            "REPEATABLE READ and SERIALIZABLE transactions read their own snapshot."
        case .transactionWrote:
            "The transaction has written or locked something: until it ends, it reads upstream."
        case .failedTransaction: "The transaction has failed and waits for ROLLBACK."
        case .sessionState:
            """
            A setting or another state of this session is not known just now. It is asked for as \
            soon as no transaction is open; DISCARD ALL makes it known at once.
            """
        case .repliesOutstanding: "Earlier statements of this session have not been answered yet."
        case .partialExecute: "The result is fetched in parts (a row limit in Execute)."
        case .mixedSegment: "It shares a pipeline with statements that do more than read."
        case .cacheDisabled: "cache.enabled is false."
        case .rule: "A [[rule]] with cache = false matches it."
        case .catalogNotReady:
            """
            The database's catalog could not be read, or is being changed. Repeat it in a moment; \
            the log says what the control connection was told.
            """
        case .writerInFlight: "Something that it reads is being written at this moment."
        case .entryTooLarge: "The answer is larger than cache.max_entry."
        case .invalidatedDuringFill: "Something that it reads was written while it ran."
        case .replyNotStorable:
            "The reply was an error, came with a notice, or did not come in one piece."
        case .foreignCommit:
            "Another process has just written to the SQLite file; what it changed is being looked at."
        case .standby:
            """
            The server is a standby: it changes by writes that do not come through Mynah. Use the \
            primary as upstream.
            """
        case .mirrorBehind:
            """
            This node mirrors another one's cache, and has not heard from it for a lease, or not yet \
            of what this session has seen there. The primary answers.
            """
        }
    }
}
