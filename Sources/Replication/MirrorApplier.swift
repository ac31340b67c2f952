import Mutants
import NIOCore
import ResultCache

/// Makes this node's cache a mirror of another's: applies what that sends, in order.
///
/// Confined to one event loop while a connection lasts; between two it stays as it is. Windows that
/// are open then stay open: what they cover is not answered.
final class MirrorApplier {
    private let source: MirrorSource
    private let registry: WindowRegistry
    private let lease: UInt64

    /// This node's cells, by the other's numbers.
    private var cells: [VersionCell] = []
    private var identities: [UInt64: SessionIdentity] = [:]
    private var windows: [UInt64: WriteWindow] = [:]
    private(set) var position = MirrorLog.Position(epoch: 0, index: 0)
    private(set) var hasBegun = false
    /// Heartbeats that have been sent and not answered, with the time of their sending.
    private var asked: [(number: UInt64, sentAt: UInt64)] = []
    private var lastQuestion: UInt64 = 0
    private(set) var lastAnswered: UInt64 = 0
    /// When what is known now was proven last; nanoseconds of the monotonic clock.
    private(set) var lastProof: UInt64?

    private static let maximumIndex: UInt64 = 1 << 62
    private static let maximumCells = 1 << 22
    private static let maximumIdentities = 1 << 20
    private static let maximumWindows = 1 << 20
    private static let maximumQuestions = 64

    init(source: MirrorSource, registry: WindowRegistry, lease: UInt64) {
        self.source = source
        self.registry = registry
        self.lease = lease
    }

    /// A connection begins: numbers of another one mean nothing any more.
    func connected(hashKey: [UInt8]) {
        source.right.revoke()
        cells = []
        identities = [:]
        asked = []
        hasBegun = false
        source.cells.hashKey = .init(data: hashKey)
    }

    /// The question to send next; nil where as many are unanswered as may be.
    func question(now: UInt64) -> UInt64? {
        guard asked.count < Self.maximumQuestions else { return nil }
        lastQuestion += 1
        asked.append((lastQuestion, now))
        return lastQuestion
    }

    /// How long no question has been answered, in nanoseconds.
    func silence(now: UInt64) -> UInt64 { asked.first.map { now - $0.sentAt } ?? 0 }

    /// Applies one message. `now` is nanoseconds of the monotonic clock.
    func apply(_ message: MirrorMessage, now: UInt64) throws(MirrorProtocolError) {
        switch message {
        case .begin(let position, let open): try begin(position, open)
        case .cells(let first, let names): try name(first, names)
        case .identity(let number, let who):
            guard identities.count < Self.maximumIdentities else {
                throw MirrorProtocolError(description: "more identities than may be")
            }
            identities[number] = source.identities.identity(of: who)
        case .opened(let window, let references):
            try mustHaveBegun()
            let cells = try cells(of: references)
            try open(window, cells)
            advance(.opened(window: window, cells))
        case .closed(let window, let committed):
            try mustHaveBegun()
            windows.removeValue(forKey: window)?.close(committed ? .committed : .aborted)
            advance(.closed(window: window, committed: committed))
        case .nothing:
            try mustHaveBegun()
            advance(nil)
        case .stored(let record):
            try mustHaveBegun()
            advance(try store(record, now: now).map(MirrorLog.Record.stored))
        case .entry(let record):
            try mustHaveBegun()
            _ = try store(record, now: now)
        case .entriesEnd: try mustHaveBegun()
        case .answer(let number, let age): try answered(number, age, now: now)
        case .follow, .heartbeat, .acknowledge, .handOver, .promote, .promoted, .welcome, .refusal:
            throw MirrorProtocolError(description: "a message out of turn")
        }
    }

    private func mustHaveBegun() throws(MirrorProtocolError) {
        guard hasBegun else { throw MirrorProtocolError(description: "a record before the beginning") }
    }

    private func advance(_ record: MirrorLog.Record?) {
        position.index += 1
        source.log.applied(record)
        source.right.applied(position.index)
    }

    /// Forgets everything. In this order: nothing is answered from before once the right is given up,
    /// and what somebody has found before that is no longer current when it comes back.
    private func begin(
        _ position: MirrorLog.Position, _ open: [(window: UInt64, cells: [CellReference])]
    ) throws(MirrorProtocolError) {
        guard position.index < Self.maximumIndex else {
            throw MirrorProtocolError(description: "a number that no log has")
        }
        source.right.follow(position)
        asked = []
        lastProof = nil
        forget()
        var opened: [UInt64: CellSet] = [:]
        for (window, references) in open {
            let cells = try cells(of: references)
            try self.open(window, cells)
            opened[window] = cells
        }
        self.position = position
        hasBegun = true
        source.log.follow(from: position, open: opened)
    }

    /// Drops everything.
    ///
    /// What is known of the catalog too: what has changed meanwhile has not been told.
    func forget() {
        if Mutant.mirrorKeptAtBegin.isActive { return closeWindows() }
        let stale = source.cells.names(from: 0).filter { name in
            switch name {
            case .schema, .catalog: true
            case .all, .wide: false
            }
        }
        for name in stale {
            WriteWindow.open(CellSet([source.cells.cell(name)]))?.close(.committed)
        }
        WriteWindow.open(CellSet([source.cells.cell(.cluster)]))?.close(.committed)
        source.cache.removeAll()
        closeWindows()
    }

    /// Whatever windows are open has come to be, as far as this node's entries go.
    func closeWindows() {
        let outcome: WriteWindow.Outcome =
            Mutant.takeOverKeepsOpenWindows.isActive ? .aborted : .committed
        for window in windows.values { window.close(outcome) }
        windows = [:]
    }

    private func open(_ window: UInt64, _ cells: CellSet) throws(MirrorProtocolError) {
        guard windows[window] == nil, windows.count < Self.maximumWindows,
            // Not through the table: the log is told by `advance`.
            let opened = WriteWindow.open(cells)
        else { throw MirrorProtocolError(description: "a window that cannot be opened") }
        windows[window] = opened
    }

    private func name(_ first: UInt32, _ names: [CellName]) throws(MirrorProtocolError) {
        guard Int(first) == cells.count, cells.count + names.count <= Self.maximumCells else {
            throw MirrorProtocolError(description: "names of cells out of order")
        }
        for name in names {
            // Whoever leads later has to know by which columns there are entries. Where there are
            // too many lists of them, what depends on this one depends on all rows here.
            if case .wide(let database, let relation, let columns) = name,
                registry.keyed(by: columns, relation: relation, database: database) == nil
            {
                cells.append(source.cells.cell(.all(database: database, relation: relation)))
            } else {
                cells.append(source.cells.cell(name))
            }
        }
    }

    private func cells(of references: [CellReference]) throws(MirrorProtocolError) -> CellSet {
        var found: [VersionCell] = []
        found.reserveCapacity(references.count)
        for reference in references {
            if let place = reference.place {
                found.append(source.cells.keyCell(place: place))
            } else if let ordinal = reference.ordinal, ordinal < cells.count {
                found.append(cells[ordinal])
            } else {
                throw MirrorProtocolError(description: "a cell without a name")
            }
        }
        return CellSet(found)
    }

    private func store(
        _ record: ReplyRecord, now: UInt64
    ) throws(MirrorProtocolError) -> CachedReply? {
        let cells = try cells(of: record.cells)
        guard let identity = identities[record.identities.now],
            let atParse = identities[record.identities.atParse]
        else { throw MirrorProtocolError(description: "an identity without a name") }
        guard !cells.isEmpty, let lease = cells.capture() else { return nil }
        let key = record.key(now: identity, atParse: atParse)
        let expiry = record.timeToLive.map { now.addingReportingOverflow($0) }
            .map { $0.overflow ? UInt64.max : $0.partialValue } ?? .max
        let outcome = key.withUnsafeReadableBytes { key in
            source.cache.store(
                key: key, hash: ReplyCache.hash(key), rowDescription: record.rowDescription,
                body: record.body, lease: lease, expiry: expiry, now: now)
        }
        guard case .stored(let reply) = outcome else { return nil }
        return reply
    }

    /// The lease counts from when the question was sent, by this node's own clock: whatever was
    /// committed before that has come.
    private func answered(
        _ number: UInt64, _ age: UInt64, now: UInt64
    ) throws(MirrorProtocolError) {
        try mustHaveBegun()
        // Of the time before the last beginning, perhaps.
        guard let index = asked.firstIndex(where: { $0.number == number }) else { return }
        let sentAt = Mutant.leaseFromAnswer.isActive ? now : asked[index].sentAt
        asked.removeFirst(index + 1)
        lastAnswered = number
        guard age <= lease, sentAt >= age else { return }
        lastProof = sentAt - age
        source.right.extend(to: sentAt - age + lease)
    }

}
