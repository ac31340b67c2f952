import Mutants
import PostgresWire
import SQLAnalysis
import Telemetry

/// What is known of the session's transaction: whether there is one, what it may have changed, and
/// whether reads in it may be answered from memory.
///
/// A pure value. `sent…` members are told when something goes upstream, `ready` when the server
/// reports its state; in between, with several segments on their way, the state is uncertain and
/// every question is answered on the safe side.
struct TransactionTracker {
    /// A block that the client has begun and the upstream has not heard of yet.
    struct LazyBlock {
        /// The client's own BEGIN, to be sent before the first statement that goes upstream.
        let begin: String
        let isReadCommitted: Bool
    }

    private(set) var status: TransactionStatus = .idle
    private(set) var lazyBlock: LazyBlock?
    /// Segments with transaction control whose ReadyForQuery has not come.
    private var uncertainSegments = 0
    /// What the transaction's statements may have changed, from the moment they were sent.
    private(set) var writes: WriteSet = .nothing
    /// The oldest catalog that `writes` was decided from.
    private(set) var writesCatalogVersion: UInt64?
    /// Why reads bypass until the transaction ends.
    private(set) var readBarrier: BypassReason?
    private var isolation: IsolationLevel?
    /// A statement of this block was answered from memory: the server does not know that the
    /// transaction has run a query.
    private(set) var hasUnseenReads = false
    /// A lazy block's BEGIN has been sent, and the server has not confirmed it.
    private var hasUnconfirmedBegin = false

    /// The level of transactions that do not name one.
    var defaultIsolation: IsolationLevel = .readCommitted {
        didSet {
            // A running block keeps the level that it began with.
            if isolation == nil, visibleStatus != .idle { restrict(to: oldValue) }
        }
    }

    /// The status that the client has been told, or would be.
    var visibleStatus: TransactionStatus {
        lazyBlock == nil ? status : .inBlock
    }

    /// Whether it is certain that no transaction block is open, here or upstream.
    var isCertainlyIdle: Bool {
        status == .idle && lazyBlock == nil && uncertainSegments == 0
    }

    /// Whether the upstream is certainly in no transaction, though the client may have begun one.
    var isIdleUpstream: Bool { status == .idle && uncertainSegments == 0 }

    var isUncertain: Bool { uncertainSegments > 0 }

    /// Whether what is sent next may run, and commit, outside of a block.
    var mayBeOutsideBlock: Bool {
        uncertainSegments > 0 || hasUnconfirmedBegin || (status == .idle && lazyBlock == nil)
    }

    /// Why a read that arrives now may not be answered from memory; nil if it may.
    var bypassReason: BypassReason? {
        if status == .failed { return .failedTransaction }
        if let readBarrier { return readBarrier }
        if uncertainSegments > 0 { return .repliesOutstanding }
        if visibleStatus == .inBlock, !(isolation ?? defaultIsolation).readsNewestCommitted,
            !Mutant.isolationIgnored.isActive
        {
            return .isolationLevel
        }
        return nil
    }

    /// Takes transaction control without the upstream, and returns its command tag; nil where the
    /// upstream has to be told. `text` is the statement's own.
    mutating func answeredLazily(_ command: LazyCommand, text: String) -> String? {
        switch command {
        case .begin(let tag, let isReadCommitted):
            guard isCertainlyIdle else { return nil }
            beganLazily(.init(begin: text, isReadCommitted: isReadCommitted))
            return tag
        case .commit:
            guard lazyBlock != nil else { return nil }
            endedLazily()
            return "COMMIT"
        case .rollback:
            guard lazyBlock != nil else { return nil }
            endedLazily()
            return "ROLLBACK"
        }
    }

    mutating func beganLazily(_ block: LazyBlock) {
        lazyBlock = block
        isolation = block.isReadCommitted ? .readCommitted : nil
        if !block.isReadCommitted { restrict(to: defaultIsolation) }
    }

    /// The lazy block ended without anything having gone upstream.
    mutating func endedLazily() {
        lazyBlock = nil
        reset()
    }

    /// The lazy block's BEGIN has been sent upstream.
    mutating func materialised() {
        lazyBlock = nil
        status = .inBlock
        hasUnconfirmedBegin = true
    }

    mutating func answeredFromMemory() {
        if visibleStatus == .inBlock { hasUnseenReads = true }
    }

    /// The server has been made to know that the block has run a query.
    mutating func madeReadsSeen() {
        hasUnseenReads = false
    }

    /// A statement goes upstream.
    mutating func sent(_ statement: StatementProfile, catalogVersion: UInt64) {
        if statement.writeSet != .nothing {
            writes = writes.union(statement.writeSet)
            writesCatalogVersion = min(writesCatalogVersion ?? catalogVersion, catalogVersion)
        }
        switch statement.kind {
        case .read, .harmless:
            break
        case .write, .opaque:
            if !Mutant.ownWritesIgnored.isActive { readBarrier = .transactionWrote }
        case .locking:
            readBarrier = readBarrier ?? .transactionWrote
        case .setting:
            break
        case .transaction(let command):
            sent(command)
        }
    }

    private mutating func sent(_ command: TransactionCommand) {
        switch command {
        case .begin(let level):
            if isolation == nil { isolation = level }
            restrict(to: level ?? defaultIsolation)
        case .setTransaction(let level):
            if let level { restrict(to: level) }
        case .commitPrepared, .rollbackPrepared:
            readBarrier = .transactionWrote
        case .commit, .rollback, .savepoint, .releaseSavepoint, .rollbackToSavepoint,
            .prepareTransaction:
            break
        }
    }

    /// Until the transaction has ended, a level is only ever exchanged for a stricter one: the
    /// statement that asks for a weaker one may fail, and an earlier level may still be in force.
    private mutating func restrict(to level: IsolationLevel) {
        if !level.readsNewestCommitted { isolation = level }
    }

    /// Names may have been resolved wrongly: what has been written so far may be anything.
    mutating func distrustWrites() {
        if writes != .nothing { writes = writes.union(.everything) }
    }

    mutating func sent(_ segment: ForwardedSegment) {
        if segment.controlsTransaction { uncertainSegments += 1 }
    }

    /// The server has skipped `segment`: it has not run.
    mutating func skipped(_ segment: ForwardedSegment) {
        if segment.controlsTransaction { uncertainSegments -= 1 }
    }

    /// ReadyForQuery for `segment` has come; `isLast`: nothing else is outstanding.
    mutating func ready(_ newStatus: TransactionStatus, for segment: ForwardedSegment, isLast: Bool)
    {
        if segment.controlsTransaction { uncertainSegments -= 1 }
        if segment.beginsLazily { hasUnconfirmedBegin = false }
        status = newStatus
        // In a lazy block it was the proxy's own question that was answered, ahead of the block.
        if newStatus == .idle, isLast, lazyBlock == nil { reset() }
    }

    private mutating func reset() {
        writes = .nothing
        writesCatalogVersion = nil
        readBarrier = nil
        isolation = nil
        hasUnseenReads = false
    }

    /// Whether the isolation level of the running block is one that may only be chosen before the
    /// first query, and which the server has not seen.
    func mustBeSeen(before statement: StatementProfile) -> Bool {
        guard hasUnseenReads, case .transaction(.setTransaction) = statement.kind else {
            return false
        }
        return true
    }
}
