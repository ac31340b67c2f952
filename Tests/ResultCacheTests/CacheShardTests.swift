import NIOCore
import Testing

@testable import ResultCache

@Suite("Cache shard")
struct CacheShardTests {
    /// An entry, and the lease under which it was filled.
    private func entry(expiry: UInt64) throws -> (CachedReply, FillLease) {
        let cells = CellSet([CellTable().cell(.schema(database: "d"))])
        let lease = try #require(cells.capture())
        let reply = withBytes(of: "k") { key in
            CachedReply(
                key: key, hash: 1, rowDescription: nil, body: ByteBuffer(string: "1"),
                lease: lease, expiry: expiry, now: 0)
        }
        return (reply, lease)
    }

    @Test("A fill whose cells move between the first check and the shard's lock is refused")
    func lastCheck() throws {
        let (reply, lease) = try entry(expiry: .max)
        var shard = CacheShard(limit: 100_000)
        var released = ReleasedReplies()
        let window = try #require(WriteWindow.open(lease.cells))
        let refused = shard.insert(reply, lease: lease, now: 0, releasing: &released)
        var statistics = shard.statistics
        #expect(refused.name == "invalidated")
        #expect(statistics.entries == 0)
        #expect(statistics.invalidatedFills == 1)

        window.close(.aborted)
        let accepted = shard.insert(reply, lease: lease, now: 0, releasing: &released)
        statistics = shard.statistics
        #expect(accepted.name == "stored")
        #expect(statistics.entries == 1)
    }

    @Test("An entry that has left the shard cannot be removed a second time")
    func removedTwice() throws {
        let (reply, lease) = try entry(expiry: 5)
        var shard = CacheShard(limit: 100_000)
        var released = ReleasedReplies()
        _ = shard.insert(reply, lease: lease, now: 0, releasing: &released)
        // Two readers that found it expired at the same time.
        shard.removeIfDead(reply, now: 5, releasing: &released)
        shard.removeIfDead(reply, now: 5, releasing: &released)
        let statistics = shard.statistics
        let count = released.count
        #expect(statistics.entries == 0)
        #expect(statistics.expirations == 1)
        #expect(count == 1)
    }
}
