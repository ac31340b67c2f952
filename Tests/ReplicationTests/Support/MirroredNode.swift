import Crypto
import NIOCore
import ResultCache

@testable import Replication

/// What writers of the tests know of the rows that they touch: nothing, or their values in columns.
struct TouchedRows: PinnedRows {
    var columns: [String: [Int]] = [:]

    func values(of column: String) -> [Int]? { columns[column] }
}

/// The cache of one node with all that mirrors of it use, and no sockets or sessions.
final class MirroredNode {
    static let who = SessionIdentityTable.Components(database: "d", user: "u", settings: [:])

    let cells: CellTable
    let log: MirrorLog
    let cache: ReplyCache
    let identities = SessionIdentityTable()
    let right = ServingRight()
    let registry: WindowRegistry
    let source: MirrorSource
    let applier: MirrorApplier

    /// - Parameters:
    ///   - lease: of followers, in nanoseconds.
    ///   - epoch: nil for a node that follows and has heard nothing yet.
    ///   - now: see `FollowerTable.init`.
    init(
        isSynchronous: Bool = false, lease: UInt64 = 1000, epoch: UInt64? = nil,
        now: UInt64? = nil, capacity: Int = 1 << 20, notice: @escaping @Sendable () -> Void = {}
    ) {
        log = MirrorLog(
            capacity: capacity, epoch: epoch ?? 0,
            followers: FollowerTable(isSynchronous: isSynchronous, lease: lease, now: now))
        // Cells are never freed, and tests make many tables.
        cells = CellTable(keyCells: 64, log: log)
        cells.hashKey = SymmetricKey(data: [UInt8](repeating: 7, count: 32))
        cache = ReplyCache(
            limits: CacheLimits(memory: 1 << 20, maximumEntry: 1 << 16), shardCount: 1, log: log)
        registry = WindowRegistry(cells: cells)
        source = MirrorSource(
            log: log, cache: cache, cells: cells, identities: identities, right: right,
            notice: {
                notice()
                return true
            })
        applier = MirrorApplier(source: source, registry: registry, lease: lease)
        guard epoch == nil else { return }
        let nowhere = MirrorLog.Position(epoch: 0, index: 0)
        right.follow(nowhere)
        log.follow(from: nowhere, open: [:])
    }

    /// What every entry depends on that reads all of a relation.
    func cellSet(_ relation: String) -> CellSet {
        CellSet([
            cells.cell(.cluster), cells.cell(.schema(database: "d")),
            cells.cell(.all(database: "d", relation: relation)),
        ])
    }

    /// A key as sessions make them: who asks, who has parsed, and the rest.
    func key(_ text: String, of who: SessionIdentityTable.Components = who) -> ByteBuffer {
        let identity = identities.identity(of: who)
        var key = ByteBuffer()
        key.writeInteger(identity.number)
        key.writeInteger(identity.number)
        key.writeString(text)
        return key
    }

    func lookup(_ text: String, now: UInt64 = 1) -> CachedReply? {
        key(text).withUnsafeReadableBytes {
            cache.lookup($0, hash: ReplyCache.hash($0), now: now)
        }
    }

    /// What is answered from memory, whether or not that is allowed.
    func text(_ text: String, now: UInt64 = 1) -> String? {
        lookup(text, now: now).map { String(buffer: $0.body) }
    }

    /// Stores under a lease; the relation is the text's own unless another is given.
    @discardableResult
    func store(
        _ text: String, _ body: String, under lease: FillLease, expiry: UInt64 = .max,
        now: UInt64 = 1
    ) -> CachedReply? {
        let outcome = key(text).withUnsafeReadableBytes {
            cache.store(
                key: $0, hash: ReplyCache.hash($0), rowDescription: ByteBuffer(string: "columns"),
                body: ByteBuffer(string: body), lease: lease, expiry: expiry, now: now)
        }
        if case .stored(let reply) = outcome { return reply }
        return nil
    }

    /// Fills at once: nothing comes in between.
    @discardableResult
    func fill(_ relation: String, _ body: String, key: String? = nil) -> CachedReply? {
        cellSet(relation).capture().flatMap { store(key ?? relation, body, under: $0) }
    }

    func open(_ relation: String, _ rows: TouchedRows = TouchedRows()) -> RegisteredWindow? {
        registry.open(
            WriteCoverage.relations([(relation: relation, pins: rows)]), database: "d",
            catalogVersion: cells.cell(.catalog(database: "d")).current)
    }

    func close(_ window: RegisteredWindow, committed: Bool = true) {
        registry.close(window, committed: committed)
    }

    /// As `LeadershipService` does it once the predecessor has no part in it any more.
    func takeOver(isWarm: Bool, leasesEnd: UInt64, epoch: UInt64) {
        if isWarm { applier.closeWindows() } else { applier.forget() }
        log.followers.hold(until: leasesEnd)
        right.lead(until: 0)
        log.lead(epoch: epoch)
    }
}
