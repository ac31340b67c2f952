import Testing

@testable import ResultCache

@Suite("Eviction")
struct EvictionTests {
    private let table = CellTable()
    private let lease: FillLease
    private let body = String(repeating: "x", count: 500)

    init() throws {
        let cells = CellSet([table.cell(.schema(database: "d"))])
        lease = try #require(cells.capture())
    }

    /// One shard, room for about a thousand entries of `body`.
    private func makeCache() -> ReplyCache {
        ReplyCache(limits: CacheLimits(memory: 800_000, maximumEntry: 10_000), shardCount: 1)
    }

    @Test("Answers that nobody asks for twice do not flush those that are asked for again")
    func scanResistance() {
        let cache = makeCache()
        for round in 0..<4 {
            for index in 0..<300 {
                if cache.lookup("hot\(index)") == nil {
                    #expect(round == 0)
                    cache.store("hot\(index)", body, under: lease)
                }
            }
        }
        for index in 0..<20_000 {
            #expect(cache.lookup("once\(index)") == nil)
            cache.store("once\(index)", body, under: lease)
        }
        let survivors = (0..<300).count { cache.peek("hot\($0)") != nil }
        #expect(survivors == 300)
        #expect(cache.statistics.evictions > 19_000)
    }

    @Test("What comes back soon after leaving the small queue goes to the main queue")
    func ghosts() {
        let cache = makeCache()
        // Fills the main queue with entries that were hit.
        for index in 0..<900 {
            cache.store("old\(index)", body, under: lease)
            for _ in 0..<2 { _ = cache.lookup("old\(index)") }
        }
        cache.store("returning", body, under: lease)
        var index = 0
        while cache.peek("returning") != nil, index < 5000 {
            cache.store("once\(index)", body, under: lease)
            index += 1
        }
        #expect(cache.peek("returning") == nil)
        cache.store("returning", body, under: lease)
        // It now outlives a stream that would have flushed it from the small queue thrice.
        for next in 0..<3 * index { cache.store("twice\(next)", body, under: lease) }
        #expect(cache.peek("returning") != nil)
    }

    @Test("An answer that was asked for often keeps its standing through an invalidation")
    func standingSurvivesInvalidation() throws {
        let cache = makeCache()
        let relation = CellSet([table.cell(.all(database: "d", relation: "r"))])
        let before = try #require(relation.capture())
        cache.store("hot", body, under: before)
        for _ in 0..<3 { _ = cache.lookup("hot") }
        try #require(WriteWindow.open(relation)).close(.committed)
        #expect(cache.lookup("hot") == nil)
        cache.store("hot", body, under: try #require(relation.capture()))
        for index in 0..<600 {
            cache.store("kept\(index)", body, under: lease)
            for _ in 0..<2 { _ = cache.lookup("kept\(index)") }
        }
        for index in 0..<500 { cache.store("once\(index)", body, under: lease) }
        #expect(cache.peek("hot") != nil)
    }

    @Test("Dead entries that come up for eviction count as what killed them")
    func deadEntriesAreNotEvictions() throws {
        let cache = makeCache()
        let relation = CellSet([table.cell(.all(database: "d", relation: "r"))])
        let doomed = try #require(relation.capture())
        for index in 0..<400 { cache.store("dead\(index)", body, under: doomed) }
        for index in 0..<400 {
            cache.store("old\(index)", body, under: lease, expiry: 10, now: 1)
        }
        try #require(WriteWindow.open(relation)).close(.committed)
        for index in 0..<950 { cache.store("new\(index)", body, under: lease, now: 20) }
        let statistics = cache.statistics
        #expect(statistics.invalidations == 400)
        #expect(statistics.expirations > 0)
        #expect(statistics.evictions == 0)
    }

    @Test("Shrinking the limits evicts at once, growing them makes room")
    func setLimits() {
        let cache = ReplyCache(limits: CacheLimits(memory: 8 << 20, maximumEntry: 10_000))
        for index in 0..<5000 { cache.store("\(index)", body, under: lease) }
        #expect(cache.statistics.entries == 5000)

        cache.setLimits(CacheLimits(memory: 1 << 20, maximumEntry: 400))
        #expect(cache.limits == CacheLimits(memory: 1 << 20, maximumEntry: 400))
        #expect(cache.statistics.bytes <= 1 << 20)
        #expect(cache.statistics.entries > 500)
        #expect(cache.statistics.evictions == UInt64(5000 - cache.statistics.entries))
        #expect(cache.store("k", body, under: lease).name == "tooLarge")
        #expect(cache.store("k", "small", under: lease).name == "stored")
        #expect(cache.statistics.bytes <= 1 << 20)

        cache.setLimits(CacheLimits(memory: 0, maximumEntry: 400))
        #expect(cache.statistics.bytes == 0)
        #expect(cache.statistics.entries == 0)
        #expect(cache.store("k", "small", under: lease).name == "tooLarge")

        cache.setLimits(CacheLimits(memory: 8 << 20, maximumEntry: 10_000))
        for index in 0..<5000 { cache.store("\(index)", body, under: lease) }
        #expect(cache.statistics.entries == 5000)
    }

    @Test("One large entry makes room for itself among many small ones")
    func largeAmongSmall() {
        let cache = ReplyCache(
            limits: CacheLimits(memory: 400_000, maximumEntry: 300_000), shardCount: 64)
        #expect(cache.shardCount == 1)
        for index in 0..<1000 { cache.store("\(index)", "small", under: lease) }
        let large = String(repeating: "L", count: 290_000)
        #expect(cache.store("large", large, under: lease).name == "stored")
        #expect(cache.lookup("large")?.text == large)
        #expect(cache.statistics.bytes <= 400_000)
        #expect(cache.store("huge", large + large, under: lease).name == "tooLarge")
    }
}
