import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import ResultCache

/// Several threads on one cache, with a database of counters behind it.
@Suite("Reply cache under concurrency")
struct ReplyCacheConcurrencyTests {
    /// Counters that only grow: an answer is stale exactly if it is smaller than what could be
    /// read when the question came.
    private final class Database: Sendable {
        let first = Atomic<UInt64>(0)
        let second = Atomic<UInt64>(0)

        func read() -> (UInt64, UInt64) {
            (
                first.load(ordering: .sequentiallyConsistent),
                second.load(ordering: .sequentiallyConsistent)
            )
        }
    }

    private struct Tally {
        var hits = 0
        var fills = 0
        var stale = 0
        var foreign = 0
    }

    @Test("No reader is ever answered from before its question, while writers commit and abort")
    func noStaleHit() async throws {
        let table = CellTable()
        let top = table.cell(.schema(database: "d"))
        let firstCell = table.cell(.all(database: "d", relation: "first"))
        let secondCell = table.cell(.all(database: "d", relation: "second"))
        let readSet = CellSet([top, firstCell, secondCell])
        let database = Database()
        // Small enough that eviction goes on all the time.
        let limit = 60_000
        let cache = ReplyCache(
            limits: CacheLimits(memory: limit, maximumEntry: 1000), shardCount: 4)

        let tally = await withTaskGroup(of: Tally.self) { group in
            for reader in 0..<3 {
                group.addTask {
                    var random = SeededGenerator(seed: UInt64(reader))
                    var tally = Tally()
                    for round in 0..<20_000 {
                        if round % 8 == 0 { await Task.yield() }
                        let key = "key \(Int.random(in: 0..<40, using: &random))"
                        let arrival = database.read()
                        if let reply = cache.lookup(key) {
                            let parts = reply.text.split(separator: "|")
                            let first = UInt64(parts[1]) ?? 0
                            let second = UInt64(parts[2]) ?? 0
                            tally.hits += 1
                            if first < arrival.0 || second < arrival.1 { tally.stale += 1 }
                            if parts[0] != key { tally.foreign += 1 }
                        } else if let lease = readSet.capture() {
                            let (first, second) = database.read()
                            tally.fills += 1
                            cache.store(key, "\(key)|\(first)|\(second)", under: lease)
                        }
                    }
                    return tally
                }
            }
            for writer in 0..<2 {
                group.addTask {
                    var random = SeededGenerator(seed: 100 + UInt64(writer))
                    for _ in 0..<1_000 {
                        let kind = Int.random(in: 0..<3, using: &random)
                        let cells = [[firstCell], [secondCell], [firstCell, secondCell]][kind]
                        guard let window = WriteWindow.open(CellSet(cells)) else { continue }
                        await Task.yield()
                        if Bool.random(using: &random) {
                            if kind != 1 {
                                database.first.add(1, ordering: .sequentiallyConsistent)
                            }
                            if kind != 0 {
                                database.second.add(1, ordering: .sequentiallyConsistent)
                            }
                            await Task.yield()
                            window.close(.committed)
                        } else {
                            window.close(.aborted)
                        }
                        await Task.yield()
                    }
                    return Tally()
                }
            }
            group.addTask {
                for round in 0..<300 {
                    _ = cache.sweep(now: 1, budget: 50)
                    cache.setLimits(
                        CacheLimits(memory: round % 2 == 0 ? limit : 40_000, maximumEntry: 1000))
                    if round % 50 == 0 { cache.removeAll() }
                    await Task.yield()
                }
                return Tally()
            }
            var total = Tally()
            for await part in group {
                total.hits += part.hits
                total.fills += part.fills
                total.stale += part.stale
                total.foreign += part.foreign
            }
            return total
        }

        #expect(tally.stale == 0)
        #expect(tally.foreign == 0)
        #expect(tally.hits > 100)
        #expect(tally.fills > 100)
        let statistics = cache.statistics
        #expect(statistics.bytes <= limit)
        let gone =
            statistics.evictions + statistics.invalidations + statistics.expirations
            + statistics.replacements + statistics.removals
        #expect(UInt64(statistics.entries) + gone == statistics.stores)
    }
}
