import NIOCore
import Testing

@testable import ResultCache

@Suite("Reply cache")
struct ReplyCacheTests {
    private let table = CellTable()
    private let cache = ReplyCache(limits: CacheLimits(memory: 1 << 22, maximumEntry: 1 << 16))

    private func set(_ names: String...) -> CellSet {
        CellSet(names.map { table.cell(.all(database: "d", relation: $0)) })
    }

    @Test("A stored reply comes back byte for byte, with and without RowDescription")
    func roundTrip() throws {
        let lease = try #require(set("a").capture())
        cache.store("with", "rows", under: lease, rowDescription: "columns", now: 7)
        cache.store("without", "rows", under: lease)
        cache.store("empty", "", under: lease, rowDescription: "")
        cache.store("", "no key", under: lease)

        let with = try #require(cache.lookup("with"))
        #expect(with.rowDescription.map { String(buffer: $0) } == "columns")
        #expect(with.text == "rows")
        #expect(String(buffer: with.rowDescriptionAndBody) == "columnsrows")
        #expect(with.readableBytes == 11)
        #expect(with.storedAt == 7)
        #expect(with.expiry == .max)
        #expect(with.cells == set("a"))

        let without = try #require(cache.lookup("without"))
        #expect(without.rowDescription == nil)
        #expect(without.text == "rows")
        let empty = try #require(cache.lookup("empty"))
        #expect(empty.rowDescription == ByteBuffer())
        #expect(empty.body == ByteBuffer())
        #expect(cache.lookup("")?.text == "no key")
        #expect(cache.lookup("wit") == nil)
        #expect(cache.lookup("with2") == nil)
        #expect(cache.statistics.entries == 4)
        #expect(cache.statistics.stores == 4)
    }

    @Test("Who writes into the buffers that were handed out does not write into the cache")
    func buffersAreCopiedOnWrite() throws {
        let lease = try #require(set("a").capture())
        cache.store("k", "body", under: lease, rowDescription: "row")
        var body = try #require(cache.lookup("k")).body
        body.setString("XXXX", at: body.readerIndex)
        body.writeString("more")
        body.discardReadBytes()
        var whole = try #require(cache.lookup("k")).rowDescriptionAndBody
        whole.clear()
        whole.writeString("overwritten from the beginning of the block")
        let again = try #require(cache.lookup("k"))
        #expect(String(buffer: again.rowDescriptionAndBody) == "rowbody")
        #expect(cache.lookup("k")?.cells == set("a"))
    }

    @Test("Keys with the same hash are told apart by all their bytes")
    func collisions() throws {
        let lease = try #require(set("a").capture())
        let names = ["foo", "foob", "fo", "fop", "", "FOO", "foo\0"]
        for name in names { cache.store(name, "answer to \(name)", under: lease, hash: 42) }
        for name in names {
            #expect(cache.lookup(name, hash: 42)?.text == "answer to \(name)")
        }
        #expect(cache.lookup("bar", hash: 42) == nil)
        #expect(cache.lookup("foo", hash: 43) == nil)
        #expect(cache.statistics.entries == names.count)

        // Removing from the middle of a chain leaves the others reachable.
        cache.store("fo", "expired", under: lease, hash: 42, expiry: 5, now: 1)
        #expect(cache.lookup("fo", hash: 42, now: 5) == nil)
        for name in names where name != "fo" {
            #expect(cache.lookup(name, hash: 42, now: 5)?.text == "answer to \(name)")
        }
    }

    @Test("The hash depends on every byte and is stable within the process")
    func hashing() {
        let hashes = ["", "a", "b", "ab", "a\0", "ba"].map { key in
            withBytes(of: key) { ReplyCache.hash($0) }
        }
        #expect(Set(hashes).count == hashes.count)
        #expect(withBytes(of: "ab") { ReplyCache.hash($0) } == hashes[3])
    }

    @Test("A commit on any of its cells kills an entry; it is removed and counted when met")
    func invalidation() throws {
        let lease = try #require(set("a", "b").capture())
        cache.store("k", "1", under: lease)
        cache.store("other", "2", under: try #require(set("a").capture()))
        try #require(WriteWindow.open(set("b"))).close(.committed)
        #expect(cache.statistics.entries == 2)
        #expect(cache.peek("k") == nil)
        #expect(cache.statistics.entries == 2)
        #expect(cache.lookup("k") == nil)
        #expect(cache.statistics.entries == 1)
        #expect(cache.statistics.invalidations == 1)
        #expect(cache.lookup("other")?.text == "2")
    }

    @Test("While a writer is in flight nothing is served or stored, and an abort brings it back")
    func abortEvictsNothing() throws {
        let lease = try #require(set("a").capture())
        cache.store("k", "1", under: lease)
        let window = try #require(WriteWindow.open(set("a")))
        #expect(cache.lookup("k") == nil)
        #expect(cache.peek("k") == nil)
        #expect(cache.store("new", "2", under: lease).name == "invalidated")
        #expect(cache.sweep(now: 1, budget: 10_000) == 0)
        window.close(.aborted)
        #expect(cache.lookup("k")?.text == "1")
        #expect(cache.lookup("new") == nil)
        #expect(cache.statistics.invalidations == 0)
        #expect(cache.statistics.invalidatedFills == 1)
        #expect(cache.statistics.rejectedFills == 1)
    }

    @Test("A fill whose cells moved while its query ran is refused")
    func staleFill() throws {
        let lease = try #require(set("a").capture())
        try #require(WriteWindow.open(set("a"))).close(.committed)
        #expect(cache.store("k", "old", under: lease).name == "invalidated")
        #expect(cache.lookup("k") == nil)
        #expect(cache.statistics.stores == 0)
    }

    @Test("An entry is served until its expiry, not at it")
    func expiry() throws {
        let lease = try #require(set("a").capture())
        cache.store("k", "1", under: lease, expiry: 100, now: 50)
        cache.store("never", "2", under: lease, now: 50)
        #expect(cache.lookup("k", now: 99)?.text == "1")
        #expect(cache.peek("k", now: 100) == nil)
        #expect(cache.lookup("k", now: 100) == nil)
        #expect(cache.statistics.expirations == 1)
        #expect(cache.lookup("never", now: .max)?.text == "2")
    }

    @Test("A new reply under the same key replaces the old one")
    func replacement() throws {
        let lease = try #require(set("a").capture())
        cache.store("k", "1", under: lease)
        cache.store("k", "2", under: lease)
        #expect(cache.lookup("k")?.text == "2")
        #expect(cache.statistics.entries == 1)
        #expect(cache.statistics.replacements == 1)
        try #require(WriteWindow.open(set("a"))).close(.committed)
        cache.store("k", "3", under: try #require(set("a").capture()))
        #expect(cache.lookup("k")?.text == "3")
        #expect(cache.statistics.replacements == 1)
        #expect(cache.statistics.invalidations == 1)
    }

    @Test("A reply larger than an entry may be is refused, one just as large is not")
    func maximumEntry() throws {
        let lease = try #require(set("a").capture())
        let room = (1 << 16) - "key".utf8.count - "row".utf8.count
        let fits = String(repeating: "x", count: room)
        #expect(cache.store("key", fits, under: lease, rowDescription: "row").name == "stored")
        #expect(
            cache.store("key", fits + "x", under: lease, rowDescription: "row").name == "tooLarge")
        #expect(cache.statistics.oversizedFills == 1)
        #expect(cache.lookup("key")?.text == fits)
    }

    @Test("There are only as many shards as leave room for four of the largest entries each")
    func shardCount() {
        func shards(_ memory: Int, _ entry: Int, _ wanted: Int = 64) -> Int {
            ReplyCache(
                limits: CacheLimits(memory: memory, maximumEntry: entry), shardCount: wanted
            ).shardCount
        }
        #expect(shards(256 << 20, 1 << 20) == 64)
        #expect(shards(16 << 20, 1 << 20) == 4)
        #expect(shards(1 << 20, 1 << 20) == 1)
        #expect(shards(0, 1 << 20) == 1)
        #expect(shards(256 << 20, 1 << 10, 48) == 32)
        #expect(shards(256 << 20, 1 << 10, 0) == 1)
        #expect(shards(256 << 20, 1 << 10, .max) == 1024)
    }

    @Test("A cache without memory refuses everything", arguments: [-1, 0, 1, 500, 2000])
    func noMemory(memory: Int) throws {
        let lease = try #require(set("a").capture())
        let tiny = ReplyCache(limits: CacheLimits(memory: memory, maximumEntry: 1 << 20))
        #expect(tiny.store("k", "1", under: lease).name == "tooLarge")
        #expect(tiny.lookup("k") == nil)
        #expect(tiny.statistics.bytes == 0)
        #expect(tiny.sweep(now: 1, budget: 100) == 0)
    }

    @Test("removeAll forgets every entry and gives all memory back")
    func removeAll() throws {
        let lease = try #require(set("a").capture())
        for index in 0..<1000 { cache.store("\(index)", "answer", under: lease) }
        #expect(cache.statistics.entries == 1000)
        cache.removeAll()
        #expect(cache.statistics.entries == 0)
        #expect(cache.statistics.bytes == 0)
        #expect(cache.statistics.removals == 1000)
        #expect(cache.lookup("1") == nil)
        cache.store("1", "again", under: lease)
        #expect(cache.lookup("1")?.text == "again")
    }

    @Test("Entries that nobody holds are freed, those that are being sent live on")
    func lifetime() throws {
        let lease = try #require(set("a").capture())
        weak var freed: CachedReply?
        weak var held: CachedReply?
        var sending: CachedReply?
        do {
            freed = cache.store("freed", "1", under: lease).stored
            sending = cache.store("held", "2", under: lease).stored
            held = sending
        }
        #expect(freed != nil)
        cache.removeAll()
        #expect(freed == nil)
        #expect(held != nil)
        #expect(sending?.text == "2")
        sending = nil
        #expect(held == nil)
        do {
            let other = ReplyCache(limits: CacheLimits(memory: 1 << 20, maximumEntry: 1000))
            freed = other.store("k", "1", under: lease).stored
            #expect(freed != nil)
        }
        #expect(freed == nil)
    }

    @Test("The sweeper removes all that is dead in bounded steps, and nothing else")
    func sweeping() throws {
        let dead = try #require(set("a").capture())
        let alive = try #require(set("b").capture())
        for index in 0..<300 {
            cache.store("dead\(index)", "1", under: dead)
            cache.store("old\(index)", "2", under: alive, expiry: 10, now: 1)
            cache.store("alive\(index)", "3", under: alive)
        }
        try #require(WriteWindow.open(set("a"))).close(.committed)
        var removed = 0
        var calls = 0
        while removed < 600, calls < 10_000 {
            // 20 visits, and the rest of the chain at which they ended.
            let step = cache.sweep(now: 10, budget: 20)
            #expect(step < 40)
            removed += step
            calls += 1
        }
        #expect(removed == 600)
        #expect(calls > 900 / 40)
        let statistics = cache.statistics
        #expect(statistics.entries == 300)
        #expect(statistics.invalidations == 300)
        #expect(statistics.expirations == 300)
        #expect(cache.sweep(now: 10, budget: 1_000_000) == 0)
        for index in 0..<300 { #expect(cache.lookup("alive\(index)", now: 10) != nil) }
    }
}
