/// Why a client session keeps its upstream connection although no transaction is open.
///
/// Each case is at once the metric label and what an operator reads: do not rename one lightly.
package enum PinReason: String, CaseIterable, Sendable {
    /// LISTEN, until UNLISTEN.
    case listen
    /// SQL's PREPARE, until DEALLOCATE.
    case sqlPrepare = "sql_prepare"
    /// A cursor WITH HOLD, until CLOSE.
    case heldCursor = "held_cursor"
    /// Temporary tables and the like, until they are gone.
    case temporaryObjects = "temporary_objects"
    /// Advisory locks of the session's, until they are released.
    case advisoryLock = "advisory_lock"
    /// currval or lastval, in this pool: what the session has drawn from sequences.
    case sequenceState = "sequence_state"
    /// A setting that cannot be made again elsewhere.
    case setting
    /// Code that cannot be seen through may have left anything; until DISCARD ALL.
    case unknownState = "unknown_state"
}

extension PinReason {
    package var ordinal: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
