import SQLAnalysis
import Telemetry

/// What ties a session to its connection between transactions: what the server-side session holds
/// of it that cannot be made again on another.
///
/// A pure value. Whatever a statement may add counts from the moment it is sent; what it takes away
/// counts when the transaction that took it away is known to have committed.
struct SessionPins {
    private var channels: Set<String> = []
    private var statements: Set<String> = []
    private var cursors: Set<String> = []
    private var others: Set<PinReason> = []
    /// Effects of the running transaction's statements that have completed, in order.
    private var completed: [SessionEffect] = []
    /// Temporary objects or locks may have gone by themselves: the server is to be asked.
    private(set) var mayHaveEnded = false
    /// Pinned since the server was last asked.
    private var sinceQuestion: Set<PinReason> = []

    var isEmpty: Bool {
        others.isEmpty && channels.isEmpty && statements.isEmpty && cursors.isEmpty
    }

    var reasons: Set<PinReason> {
        var all = others
        if !channels.isEmpty { all.insert(.listen) }
        if !statements.isEmpty { all.insert(.sqlPrepare) }
        if !cursors.isEmpty { all.insert(.heldCursor) }
        return all
    }

    /// Whether asking the server may show that nothing holds any more.
    var isWorthAsking: Bool {
        mayHaveEnded && reasons.isSubset(of: [.temporaryObjects, .advisoryLock])
    }

    /// Whether DISCARD ALL makes the connection fit for others.
    var canBeReset: Bool { !others.contains(.unknownState) }

    func hasStatement(_ name: String) -> Bool { statements.contains(name) }

    // MARK: Changes

    mutating func pin(_ reason: PinReason) {
        others.insert(reason)
        sinceQuestion.insert(reason)
        if reason == .temporaryObjects { mayHaveEnded = true }
    }

    mutating func sent(_ effect: SessionEffect) {
        switch effect {
        case .listen(let channel): insert(channel, into: \.channels)
        case .prepare(let name): insert(name, into: \.statements)
        case .holdCursor(let name): insert(name, into: \.cursors)
        case .makeTemporaryObject: pin(.temporaryObjects)
        case .takeSessionLock: pin(.advisoryLock)
        case .readSequenceState: pin(.sequenceState)
        case .unknown: pin(.unknownState)
        case .unlisten, .deallocate, .closeCursor, .discardTemporaryObjects, .releaseSessionLock,
            .execute, .needDatabaseAlone, .readProcessID:
            break
        }
    }

    /// The server has skipped the Parse by which the proxy would have made a statement of this name.
    mutating func notMade(_ name: String) {
        statements.remove(name)
    }

    /// DDL has been sent: temporary objects may be among what it drops.
    mutating func definitionSent() {
        if others.contains(.temporaryObjects) { mayHaveEnded = true }
    }

    /// More names of one kind than this are not told apart.
    private static let capacity = 256

    private mutating func insert(
        _ name: String, into set: WritableKeyPath<SessionPins, Set<String>>
    ) {
        if self[keyPath: set].count < Self.capacity {
            self[keyPath: set].insert(name)
        } else {
            pin(.unknownState)
        }
    }

    /// A statement with this effect has completed.
    mutating func completed(_ effect: SessionEffect) {
        if completed.count < Self.capacity { completed.append(effect) }
    }

    /// nil: unknown how it ended.
    mutating func transactionEnded(committed: Bool?) {
        defer { completed.removeAll(keepingCapacity: true) }
        guard committed == true, completed.count < Self.capacity else { return }
        for effect in completed { apply(effect) }
    }

    private mutating func apply(_ effect: SessionEffect) {
        switch effect {
        case .unlisten(let channel?): channels.remove(channel)
        case .unlisten(nil): channels = []
        case .deallocate(let name?): statements.remove(name)
        case .deallocate(nil): statements = []
        case .closeCursor(let name?): cursors.remove(name)
        case .closeCursor(nil): cursors = []
        case .discardTemporaryObjects: others.remove(.temporaryObjects)
        case .releaseSessionLock:
            if others.contains(.advisoryLock) { mayHaveEnded = true }
        case .listen, .prepare, .holdCursor, .makeTemporaryObject, .takeSessionLock,
            .readSequenceState, .unknown, .execute, .needDatabaseAlone, .readProcessID:
            sent(effect)
        }
    }

    /// DISCARD ALL has completed.
    mutating func discarded() {
        self = SessionPins()
    }

    /// The server is being asked: its answer says nothing of what is sent from now on.
    mutating func questionSent() {
        sinceQuestion = []
    }

    /// The server has told which of these there are.
    mutating func asked(hasTemporaryObjects: Bool, hasLocks: Bool) {
        mayHaveEnded = !sinceQuestion.isEmpty
        if !hasTemporaryObjects, !sinceQuestion.contains(.temporaryObjects) {
            others.remove(.temporaryObjects)
        }
        if !hasLocks, !sinceQuestion.contains(.advisoryLock) { others.remove(.advisoryLock) }
    }

    /// The question was not answered.
    mutating func notAnswered() {
        mayHaveEnded = false
    }
}
