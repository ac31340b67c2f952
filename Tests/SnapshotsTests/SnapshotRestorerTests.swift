import NIOCore
import ResultCache
import Testing

@testable import Snapshots

/// From one cache to another.
@Suite struct SnapshotRestorerTests {
    private func restored(
        _ file: [UInt8], into target: SampleCache, age: UInt64? = 0, now: UInt64 = 0,
        between: () -> Void = {}
    ) throws -> SnapshotRestorer.Outcome {
        let image = try SampleFile.read(file)
        let restorer = SnapshotRestorer(image, cells: target.cells, identities: target.identities)
        between()
        return restorer.store(into: target.cache, age: age, now: now)
    }

    @Test("Answers are found under the same statement and login, whatever their numbers are")
    func numbers() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: [source.all("a")])
        let target = SampleCache()
        // Numbers differ: others came first.
        for n in 0..<5 {
            _ = target.identities.identity(of: .init(database: "x", user: "\(n)", settings: [:]))
            _ = target.all("other\(n)")
        }
        let outcome = try restored(source.file(), into: target)
        #expect(outcome.restored == 1 && outcome.skipped == 0)
        #expect(target.body(of: "SELECT 1") == "one")
        let other = SessionIdentityTable.Components(database: "shop", user: "eve", settings: [:])
        let key = target.key("SELECT 1", login: other)
        let found = key.withUnsafeReadableBytes {
            target.cache.lookup($0, hash: ReplyCache.hash($0), now: 0)
        }
        #expect(found == nil)
    }

    @Test("Answers go with writes to what they depend on, and no others")
    func invalidation() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: [source.all("a")])
        source.store("SELECT 2", "two", cells: [source.all("b")])
        let target = SampleCache()
        _ = try restored(source.file(), into: target)
        target.write([target.all("a")])
        #expect(target.body(of: "SELECT 1") == nil)
        #expect(target.body(of: "SELECT 2") == "two")
        target.write([target.schema])
        #expect(target.body(of: "SELECT 2") == nil)
    }

    @Test("Rows by key become all rows of their relations")
    func keys() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: source.keyed("a", 1))
        source.store("SELECT 2", "two", cells: source.keyed("a", 1) + source.keyed("b", 2))
        let target = SampleCache()
        // A key without the name of its relation tells nothing.
        let cell = source.keyed("c", 3)[1]
        source.store("SELECT 3", "three", cells: [cell])
        let outcome = try restored(source.file(), into: target)
        #expect(outcome.restored == 2 && outcome.skipped == 1)
        #expect(target.body(of: "SELECT 2") == "two")
        // What a writer of any row moves, whatever it knows of keys.
        target.write([target.all("b")])
        #expect(target.body(of: "SELECT 1") == "one")
        #expect(target.body(of: "SELECT 2") == nil)
        target.write([target.all("a")])
        #expect(target.body(of: "SELECT 1") == nil)
    }

    @Test("What is being written when the answers are collected is not among them")
    func writersAtCollection() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: [source.all("a")])
        source.store("SELECT 2", "two", cells: [source.all("b")])
        let window = WriteWindow.open(CellSet([source.all("a")]))
        source.write([source.all("c")])
        let image = try SampleFile.read(source.file())
        #expect(image.replies.map { String(buffer: $0.body) } == ["two"])
        window?.close(.aborted)
        #expect(try SampleFile.read(source.file()).replies.count == 2)
        source.write([source.all("b")])
        #expect(try SampleFile.read(source.file()).replies.count == 1)
    }

    @Test("A write between the leases and the proof is noticed")
    func writersWhileRestoring() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: [source.all("a")])
        source.store("SELECT 2", "two", cells: [source.all("b")])
        let target = SampleCache()
        let outcome = try restored(source.file(), into: target) {
            target.write([target.all("a")])
        }
        #expect(outcome.restored == 1 && outcome.skipped == 1)
        #expect(target.body(of: "SELECT 1") == nil)
        // One that is open before them.
        let other = SampleCache()
        let window = WriteWindow.open(CellSet([other.all("b")]))
        #expect(try restored(source.file(), into: other).restored == 1)
        window?.close(.committed)
        #expect(other.body(of: "SELECT 2") == nil)
    }

    @Test("What is left to live goes on by the clock on the wall, which may not go backwards")
    func timeToLive() throws {
        let source = SampleCache()
        source.store("SELECT 1", "one", cells: [], expiry: 1_000)
        source.store("SELECT 2", "two", cells: [])
        let file = try source.file(now: 400)
        let target = SampleCache()
        #expect(try restored(file, into: target, age: 100, now: 5_000).restored == 2)
        #expect(target.body(of: "SELECT 1", now: 5_499) == "one")
        #expect(target.body(of: "SELECT 1", now: 5_500) == nil)
        for age in [600, nil, UInt64.max] {
            let other = SampleCache()
            let outcome = try restored(file, into: other, age: age, now: 0)
            #expect(outcome.restored == 1 && outcome.expired == 1)
            #expect(other.body(of: "SELECT 2", now: .max - 1) == "two")
        }
        // Expired when it was collected.
        #expect(try SampleFile.read(source.file(now: 1_000)).replies.count == 1)
    }

    @Test("Whose login was forgotten is left out; more than fits in memory is counted alone")
    func bounds() throws {
        let source = SampleCache()
        for n in 0..<10 { source.store("SELECT \(n)", "row", cells: []) }
        let image = try SampleFile.read(source.file(), maximumBytes: 100)
        #expect(image.replies.count < 10 && image.replyCount == 10)
        let restorer = SnapshotRestorer(
            image, cells: source.cells, identities: source.identities)
        #expect(restorer.skipped == 10 - image.replies.count)
        let file = try SampleFile.bytes(key: nil) { (writer) throws(SnapshotError) in
            _ = try SnapshotCollection(of: source.cache, now: 0).write(
                to: &writer, provenance: SampleCache.provenance, cells: source.cells,
                identities: SessionIdentityTable())
        }
        #expect(try SampleFile.read(file).replyCount == 0)
    }

    @Test("Those that were asked for most come first")
    func order() throws {
        let source = SampleCache()
        for n in 0..<6 { source.store("SELECT \(n)", "row\(n)", cells: []) }
        for _ in 0..<3 { _ = source.body(of: "SELECT 4") }
        let rank = try SampleFile.read(source.file()).replies
            .firstIndex { String(buffer: $0.body) == "row4" }
        #expect(rank.map { $0 < source.cache.shardCount } == true)
    }

    @Test("A key is a statement to run again")
    func statements() throws {
        let source = SampleCache()
        source.store("SELECT 'é'", "row", cells: [])
        let record = try #require(try SampleFile.read(source.file()).replies.first)
        let statement = try #require(WarmUpStatement(record))
        #expect(statement.text == "SELECT 'é'" && statement.isPlain)
        var other = record
        other.identities.atParse += 1
        #expect(WarmUpStatement(other) == nil, "prepared under other settings")
        let malformed: [[UInt8]] = [
            [], [0, 0, 0, 9, 65], [0, 0, 0, 1, 0xFF, 0, 0], [0, 0, 0, 1, 0, 0, 0],
            [0, 0, 0, 1, 65, 0, 2, 0, 0, 0, 1], [0xFF, 0xFF, 0xFF, 0xFF, 65],
        ]
        for bytes in malformed {
            var changed = record
            changed.restOfKey = ByteBuffer(bytes: bytes)
            #expect(WarmUpStatement(changed) == nil, "\(bytes)")
        }
        var bound = record
        bound.restOfKey = ByteBuffer(bytes: [0, 0, 0, 1, 65, 0, 1, 0, 0, 0, 23, 0, 0, 0, 1, 9])
        let bind = try #require(WarmUpStatement(bound))
        #expect(bind.parameterTypes == [23] && bind.bindTail.readableBytes == 5 && !bind.isPlain)
    }
}
