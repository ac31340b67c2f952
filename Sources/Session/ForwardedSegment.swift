import PostgresWire
import ResultCache
import SQLAnalysis

/// What is to be settled when one ReadyForQuery arrives: a simple Query, a function call, or
/// the extended-protocol messages up to a Sync.
///
/// Confined to the session's event loop.
final class ForwardedSegment {
    /// True for messages of the proxy's own, whose whole reply is swallowed.
    let isAbsorbed: Bool
    /// The BEGIN that the client was told of before the server was.
    var beginsLazily = false
    /// What ends the session where it fails: without it the client's statements would not be what
    /// they are taken for.
    var indispensable: PostgresError?
    /// It marks the server-side session as this node's.
    var isMark = false
    /// The statements executed, in order; nil for one that could not be profiled.
    private(set) var steps: [StatementProfile] = []
    /// How many of them have completed.
    private(set) var completedSteps = 0
    private(set) var hasFailed = false
    /// Only under a mutant: a window that is yet to be opened, too late.
    var hasUnopenedWindow = false
    /// Replies that were captured whole, to be stored.
    var captures: [ReplyCapture] = []
    /// Setting changes confirmed by the server, in order.
    private(set) var confirmedSettings: [SettingChange] = []
    private(set) var endedBySavepointRollback = false
    /// True once a COMMIT or PREPARE was answered with the tag ROLLBACK.
    private(set) var commitTurnedRollback = false
    /// Whether the transaction was known to be none when the segment was sent.
    var startedIdle: Bool
    /// Monotonic nanoseconds at which its first byte was sent upstream.
    let startedAt: UInt64
    /// The session has taken note of what it may change.
    var isNoted = false
    /// Counted among the session's unsettled segments.
    var isUnsettled = false
    /// Counted among the session's unresolved segments.
    var isUnresolved = false
    enum Replay {
        case silent
        /// The client is told of values that are reported.
        case tellingClient
    }

    /// It makes the session's settings on a connection.
    var replay: Replay?
    /// What completed statements do to the session, in order.
    private(set) var confirmedEffects: [SessionEffect] = []
    /// The unnamed statement that its simple Query destroys, to be had again if that is skipped.
    var destroyedStatement: PreparedStatement?
    /// For the answer to a probe of the session's settings.
    var probe: ProbedSettings?

    init(isAbsorbed: Bool, startedIdle: Bool, startedAt: UInt64) {
        self.isAbsorbed = isAbsorbed
        self.startedIdle = startedIdle
        self.startedAt = startedAt
    }

    /// How many steps end a transaction, or may. This and what follows is kept as steps are added:
    /// a pipeline may have very many of them before its Sync.
    private(set) var endingSteps = 0
    private var rollsBackToSavepoint = false
    /// Whether names may resolve to other relations after it: a SET, or anything opaque.
    private(set) var mayChangeResolution = false
    /// Whether a Parse may be read differently after it.
    private(set) var changesParseContext = false
    private(set) var controlsTransaction = false

    func append(_ step: StatementProfile) {
        steps.append(step)
        if step.endsTransaction { endingSteps += 1 }
        if step.isSetting || step.taintsSession { mayChangeResolution = true }
        if mayChangeResolution || step.kind == .opaque { changesParseContext = true }
        if step.mayEndTransaction { controlsTransaction = true }
        if case .transaction(let command) = step.kind {
            controlsTransaction = true
            if case .rollbackToSavepoint = command { rollsBackToSavepoint = true }
        }
    }

    /// One statement's CommandComplete has come. `isRollback` tells that its tag is ROLLBACK.
    func statementCompleted(isRollback: Bool) {
        guard completedSteps < steps.count else {
            completedSteps += 1
            return
        }
        let step = steps[completedSteps]
        completedSteps += 1
        if !step.sessionEffects.isEmpty { confirmedEffects += step.sessionEffects }
        switch step.kind {
        case .setting(let change):
            confirmedSettings.append(change)
        case .transaction(.commit), .transaction(.prepareTransaction):
            if isRollback { commitTurnedRollback = true }
        case .transaction(.rollbackToSavepoint):
            endedBySavepointRollback = true
        case .transaction, .read, .write, .harmless, .locking, .opaque:
            break
        }
    }

    func failed() {
        hasFailed = true
    }

    /// Whether all that the segment's windows cover is proven not to have been committed.
    ///
    /// Proven are: an error in a segment that was one implicit transaction with nothing in it that
    /// can commit by itself, and a COMMIT that the server answered with ROLLBACK, alone.
    var isProvenAborted: Bool {
        if hasFailed, startedIdle {
            return steps.allSatisfy { step in
                if step.mayEndTransaction { return false }
                if case .transaction = step.kind { return false }
                // DDL such as CREATE DATABASE commits at once, whatever follows it, and some of it
                // (DETACH PARTITION CONCURRENTLY) commits a part of its work before it fails.
                return step.writeSet != .everythingAndCatalog
            }
        }
        guard steps.count == 1, case .transaction(let command) = steps[0].kind else { return false }
        switch command {
        case .commit: return commitTurnedRollback
        case .prepareTransaction: return true
        case .begin, .rollback, .savepoint, .releaseSavepoint, .rollbackToSavepoint,
            .commitPrepared, .rollbackPrepared, .setTransaction:
            return false
        }
    }

    /// Whether the block that it ran in is still open, so that nothing of it is visible yet.
    func leftBlockOpen(_ status: TransactionStatus) -> Bool {
        status != .idle && !controlsTransaction
    }

    /// Whether the transaction that ended with this segment kept its SETs; nil where that cannot
    /// be told.
    var settingsWereKept: Bool? {
        if hasFailed { return startedIdle && steps.count == 1 ? false : nil }
        if commitTurnedRollback { return steps.count == 1 ? false : nil }
        let rollsBack = steps.contains { step in
            if case .transaction(.rollback) = step.kind { return true }
            return false
        }
        if rollsBack { return steps.count == 1 ? false : nil }
        return true
    }

    /// Whether a transaction ended in it, whatever the state is afterwards.
    var endsTransaction: Bool { endingSteps > 0 }

    /// Whether settings made earlier may be undone by it.
    var mayRevertSettings: Bool {
        endsTransaction || rollsBackToSavepoint
    }
}

extension StatementProfile {
    /// Whether it ends a transaction, or may.
    var endsTransaction: Bool {
        switch kind {
        case .transaction(.commit), .transaction(.rollback), .transaction(.prepareTransaction):
            true
        case .transaction, .read, .write, .setting, .harmless, .locking, .opaque:
            mayEndTransaction
        }
    }
}
