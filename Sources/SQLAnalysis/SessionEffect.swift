/// What a statement leaves in the server-side session, or needs of it, beyond settings and its
/// transaction: what a session loses when another connection serves its next transaction.
///
/// Names are as the parser gives them: folded to lower case unless quoted.
package enum SessionEffect: Hashable, Sendable {
    case listen(channel: String)
    /// nil: all channels.
    case unlisten(channel: String?)
    /// SQL's PREPARE.
    case prepare(name: String)
    /// nil: all statements.
    case deallocate(name: String?)
    /// SQL's EXECUTE.
    case execute(name: String)
    /// DECLARE … WITH HOLD.
    case holdCursor(name: String)
    /// nil: all cursors.
    case closeCursor(name: String?)
    /// A temporary table, view, sequence or function.
    case makeTemporaryObject
    case discardTemporaryObjects
    /// An advisory lock of the session's, not the transaction's.
    case takeSessionLock
    /// One that it may have had is given back.
    case releaseSessionLock
    /// currval and lastval: what this session has drawn from sequences.
    case readSequenceState
    /// pg_backend_pid: which server process this is.
    case readProcessID
    /// Fails while anyone is connected to this database: DROP DATABASE and the like.
    case needDatabaseAlone(name: String)
    /// Anything at all: code that cannot be seen through, the seed of random numbers.
    case unknown
}

extension FunctionBehaviour {
    /// What calling functions with this behaviour does to the session.
    var sessionEffects: [SessionEffect] {
        var effects: [SessionEffect] = []
        if contains(.leavesState) || contains(.seedsRandom) { effects.append(.unknown) }
        if contains(.takesSessionLocks) { effects.append(.takeSessionLock) }
        if contains(.releasesSessionLocks) { effects.append(.releaseSessionLock) }
        if contains(.readsSequenceState) { effects.append(.readSequenceState) }
        if contains(.readsProcessID) { effects.append(.readProcessID) }
        return effects
    }
}
