import NIOCore
import TestSupport
import Testing

@testable import ResultCache

/// The cache against a dictionary that never forgets, by random operations.
@Suite("Reply cache against a naive model")
struct ReplyCacheModelTests {
    /// An operation's lease, with what the model knows about the moment of its capture.
    private struct ModelLease {
        var relations: Set<Int>
        var versions: [Int: Int]
        var lease: FillLease
    }

    private struct ModelEntry {
        var body: [UInt8]
        var rowDescription: [UInt8]?
        var lease: ModelLease
        var expiry: UInt64
    }

    private struct Model {
        var versions = [Int](repeating: 0, count: 12)
        var writers = [Int](repeating: 0, count: 12)
        var entries: [Int: ModelEntry] = [:]

        func isValid(_ lease: ModelLease) -> Bool {
            lease.relations.allSatisfy {
                writers[$0] == 0 && versions[$0] == lease.versions[$0]
            }
        }

        func answer(_ key: Int, now: UInt64) -> ModelEntry? {
            guard let entry = entries[key], isValid(entry.lease), now < entry.expiry else {
                return nil
            }
            return entry
        }
    }

    /// Few distinct hashes, so that chains are long and collisions common; the shard bits too.
    private func hash(_ key: Int) -> UInt64 {
        ReplyCache.testHash("\(key % 250)")
    }

    private func bytes(of buffer: ByteBuffer?) -> [UInt8]? {
        buffer.map { Array($0.readableBytesView) }
    }

    @Test(
        "200,000 random operations return nothing but what was stored under that key and still holds",
        arguments: [
            (seed: UInt64(1), memory: 120_000, isRoomy: false),
            (seed: UInt64(2), memory: 64 << 20, isRoomy: true),
        ])
    func randomOperations(seed: UInt64, memory: Int, isRoomy: Bool) throws {
        var random = SeededGenerator(seed: seed)
        let table = CellTable()
        let cells = (0..<12).map { table.cell(.all(database: "d", relation: "\($0)")) }
        let maximumEntry = 2000
        let cache = ReplyCache(
            limits: CacheLimits(memory: memory, maximumEntry: maximumEntry), shardCount: 8)
        var limit = memory
        var model = Model()
        var leases: [ModelLease] = []
        var windows: [(window: WriteWindow, relations: Set<Int>)] = []
        var now: UInt64 = 1
        var hits = 0
        var misses = 0
        var outcomes: [String: Int] = [:]

        for step in 0..<200_000 {
            let key = Int.random(in: 0..<600, using: &random)
            let name = "key \(key)"
            switch Int.random(in: 0..<1000, using: &random) {
            case 0..<500:
                let expected = model.answer(key, now: now)
                let found = cache.lookup(name, hash: hash(key), now: now)
                if let found {
                    try #require(Array(found.body.readableBytesView) == expected?.body)
                    try #require(bytes(of: found.rowDescription) == expected?.rowDescription)
                    hits += 1
                } else {
                    misses += 1
                    // With room for everything, nothing that holds may be missing.
                    if isRoomy { try #require(expected == nil, "step \(step)") }
                }
            case 500..<540:
                let before = cache.statistics
                let found = cache.peek(name, hash: hash(key), now: now)
                if let found {
                    try #require(
                        Array(found.body.readableBytesView) == model.answer(key, now: now)?.body)
                }
                try #require(cache.statistics == before)
            case 540..<700:
                let relations = Set((0..<3).map { _ in Int.random(in: 0..<12, using: &random) })
                let lease = CellSet(relations.map { cells[$0] }).capture()
                let isFree = relations.allSatisfy { model.writers[$0] == 0 }
                try #require((lease != nil) == isFree)
                if let lease {
                    let versions = Dictionary(
                        uniqueKeysWithValues: relations.map { ($0, model.versions[$0]) })
                    leases.append(
                        ModelLease(relations: relations, versions: versions, lease: lease))
                    if leases.count > 8 { leases.removeFirst() }
                }
            case 700..<940:
                guard let lease = leases.randomElement(using: &random) else { continue }
                let length = Int.random(in: 0..<(step % 50 == 0 ? 2400 : 600), using: &random)
                let body = (0..<length).map { UInt8(truncatingIfNeeded: $0 &+ step) }
                let description: [UInt8]? = step % 3 == 0 ? nil : [UInt8(step & 255), 1]
                let expiry =
                    step % 4 == 0 ? now + UInt64.random(in: 1..<400, using: &random) : .max
                let outcome = withBytes(of: name) {
                    cache.store(
                        key: $0, hash: hash(key),
                        rowDescription: description.map { ByteBuffer(bytes: $0) },
                        body: ByteBuffer(bytes: body), lease: lease.lease, expiry: expiry,
                        now: now)
                }
                let size = name.utf8.count + (description?.count ?? 0) + length
                outcomes[outcome.name, default: 0] += 1
                if size > maximumEntry {
                    try #require(outcome.name == "tooLarge")
                } else if !model.isValid(lease) {
                    try #require(outcome.name == "invalidated")
                } else {
                    try #require(outcome.name == "stored")
                    model.entries[key] = ModelEntry(
                        body: body, rowDescription: description, lease: lease, expiry: expiry)
                }
            case 940..<946:
                let relations = Set((0..<2).map { _ in Int.random(in: 0..<12, using: &random) })
                guard windows.count < 3 else { continue }
                let set = CellSet(relations.map { cells[$0] })
                windows.append((try #require(WriteWindow.open(set)), relations))
                for relation in relations { model.writers[relation] += 1 }
            case 946..<985:
                guard !windows.isEmpty else { continue }
                let index = Int.random(in: 0..<windows.count, using: &random)
                let (window, relations) = windows.remove(at: index)
                let commits = Bool.random(using: &random)
                window.close(commits ? .committed : .aborted)
                for relation in relations {
                    model.writers[relation] -= 1
                    if commits { model.versions[relation] += 1 }
                }
            case 985..<995:
                now += UInt64.random(in: 0..<50, using: &random)
            case 995..<998:
                _ = cache.sweep(now: now, budget: Int.random(in: 0..<300, using: &random))
            case 998:
                guard !isRoomy else { continue }
                limit = Int.random(in: 60_000..<200_000, using: &random)
                cache.setLimits(CacheLimits(memory: limit, maximumEntry: maximumEntry))
            default:
                guard step % 20 == 0 else { continue }
                cache.removeAll()
                model.entries = [:]
            }
            let statistics = cache.statistics
            try #require(statistics.bytes <= limit, "step \(step)")
            let gone =
                statistics.evictions + statistics.invalidations + statistics.expirations
                + statistics.replacements + statistics.removals
            try #require(UInt64(statistics.entries) + gone == statistics.stores, "step \(step)")
        }

        // The run met every path that it is meant to test.
        let statistics = cache.statistics
        #expect(hits > 5000)
        #expect(misses > 5000)
        #expect(statistics.invalidations > 500)
        #expect(statistics.expirations > 100)
        #expect(statistics.replacements > 100)
        #expect((statistics.evictions > 1000) == !isRoomy)
        #expect(Int(statistics.oversizedFills) == outcomes["tooLarge"])
        #expect(Int(statistics.invalidatedFills) == outcomes["invalidated"])
        #expect(Int(statistics.stores) == outcomes["stored"])
    }
}
