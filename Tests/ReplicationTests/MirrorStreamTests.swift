import Mutants
import NIOCore
import ResultCache
import TestSupport
import Testing

@testable import Replication

@Suite("What a mirror holds")
struct MirrorStreamTests {
    private func pair(
        capacity: Int = 1 << 20
    ) throws -> (MirroredNode, MirroredNode, JoinedMirror) {
        let source = MirroredNode(epoch: 5, capacity: capacity)
        let mirror = MirroredNode()
        return (source, mirror, try JoinedMirror(source, mirror))
    }

    @Test("What was stored before the mirror came, and what is stored later, is there")
    func entries() throws {
        let (source, mirror, joined) = try pair()
        for number in 0..<100 { source.fill("r\(number)", "old \(number)") }
        try joined.catchUp()
        #expect(mirror.text("r0") == "old 0")
        for number in 100..<200 { source.fill("r\(number)", "new \(number)") }
        try joined.catchUp()
        for number in 0..<100 { #expect(mirror.text("r\(number)") == "old \(number)") }
        for number in 100..<200 { #expect(mirror.text("r\(number)") == "new \(number)") }
        #expect(mirror.log.position == source.log.position)
        #expect(mirror.lookup("r7")?.rowDescription == ByteBuffer(string: "columns"))
    }

    @Test(
        "A window opens at the mirror, and its end is the mirror's too", arguments: [true, false])
    func windows(commits: Bool) throws {
        let (source, mirror, joined) = try pair()
        source.fill("r", "1")
        source.fill("s", "1")
        try joined.catchUp()
        let window = try #require(source.open("r"))
        try joined.catchUp()
        #expect(mirror.text("r") == nil)
        #expect(mirror.text("s") == "1")
        #expect(mirror.log.openWindows == 1)
        source.close(window, committed: commits)
        try joined.catchUp()
        #expect(mirror.text("r") == (commits ? nil : "1"))
        #expect(mirror.log.openWindows == 0)
        #expect(mirror.log.position == source.log.position)
    }

    @Test("A window that is open when the mirror comes is open there")
    func openAtTheBeginning() throws {
        let source = MirroredNode(epoch: 5)
        source.fill("r", "1")
        let window = try #require(source.open("r"))
        let mirror = MirroredNode()
        let joined = try JoinedMirror(source, mirror)
        try joined.catchUp()
        #expect(mirror.log.openWindows == 1)
        source.close(window, committed: false)
        source.fill("r", "2")
        try joined.catchUp()
        #expect(mirror.text("r") == "2")
    }

    @Test("Cells and identities are named before they are used, and once")
    func names() throws {
        let (source, _, joined) = try pair()
        for number in 0..<50 { source.fill("r\(number)", "x") }
        var cells = 0
        var identities: Set<UInt64> = []
        let isKnown = { (references: [CellReference], cells: Int) in
            references.allSatisfy { $0.place != nil || ($0.ordinal ?? .max) < cells }
        }
        for round in 0..<10 {
            if round > 0 { source.fill("late \(round)", "x") }
            let window = try #require(source.open("written \(round)"))
            for message in try joined.catchUp() {
                switch message {
                case .cells(let first, let names):
                    #expect(Int(first) == cells)
                    cells += names.count
                case .identity(let number, _): #expect(identities.insert(number).inserted)
                case .opened(_, let references): #expect(isKnown(references, cells))
                case .stored(let record), .entry(let record):
                    #expect(isKnown(record.cells, cells))
                    #expect(identities.contains(record.identities.now))
                default: break
                }
            }
            source.close(window)
        }
        #expect(identities.count == 1)
    }

    @Test("Who falls behind what the log holds begins anew, and misses nothing")
    func gap() throws {
        let (source, mirror, joined) = try pair(capacity: 2000)
        source.fill("r", "1")
        try joined.catchUp()
        for number in 0..<100 {
            let window = try #require(source.open("r"))
            source.close(window)
            source.fill("r", "\(number)")
        }
        #expect(source.log.heldBytes <= 2000)
        let messages = try joined.catchUp()
        #expect(joined.stream.gaps == 1)
        #expect(messages.contains { if case .begin = $0 { true } else { false } })
        #expect(mirror.text("r") == "99")
        #expect(mirror.log.position == source.log.position)
    }

    @Test("A new epoch ends the stream")
    func newEpoch() throws {
        let (source, _, joined) = try pair()
        try joined.catchUp()
        source.log.lead(epoch: 6)
        try joined.catchUp()
        #expect(joined.stream.isOver)
        #expect(joined.stream.next(now: 1) == nil)
    }

    @Test("A lifetime is the rest of it at the mirror, and what is over is not sent")
    func lifetimes() throws {
        let (source, mirror, joined) = try pair()
        let lease = try #require(source.cellSet("r").capture())
        source.store("long", "1", under: lease, expiry: 100, now: 10)
        source.store("short", "1", under: lease, expiry: 20, now: 10)
        while let messages = try joined.next(now: 50) {
            // The mirror's clock has another beginning.
            for message in messages { try mirror.applier.apply(message, now: 1000) }
        }
        #expect(mirror.text("long", now: 1049) == "1")
        #expect(mirror.text("long", now: 1050) == nil)
        #expect(mirror.text("short", now: 1000) == nil)
    }

    @Test("Nothing is at the mirror that is not good at the source", arguments: 1...8)
    func interleavings(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let (source, mirror, joined) = try pair(capacity: 4000)
        var truth = [0, 0, 0, 0]
        var windows: [(relation: Int, RegisteredWindow)] = []
        var compared = 0
        // More than one message takes, so that writes come in between.
        for number in 0..<200 { source.fill("r\(number % 4)", "0", key: "k\(number)") }
        for _ in 0..<3_000 {
            let relation = Int.random(in: 0..<4, using: &generator)
            let key = "k\(relation + 4 * Int.random(in: 0..<50, using: &generator))"
            switch Int.random(in: 0..<10, using: &generator) {
            case 0 where windows.count < 2:
                if let window = source.open("r\(relation)") { windows.append((relation, window)) }
            case 1 where !windows.isEmpty:
                let (written, window) = windows.removeFirst()
                let commits = Bool.random(using: &generator)
                if commits { truth[written] += 1 }
                source.close(window, committed: commits)
            case 2...6: source.fill("r\(relation)", "\(truth[relation])", key: key)
            case 7, 8:
                for message in try joined.next() ?? [] {
                    try mirror.applier.apply(message, now: 1)
                }
            default:
                // Whatever the mirror is behind, having caught up it holds nothing else.
                guard Int.random(in: 0..<20, using: &generator) == 0 else { break }
                try joined.catchUp()
                for number in 0..<200 {
                    guard let found = mirror.text("k\(number)") else { continue }
                    #expect(found == "\(truth[number % 4])", "seed \(seed)")
                    compared += 1
                }
            }
        }
        #expect(compared > 0)
    }

    /// Whether an entry that was overtaken while it waited to be sent is at the mirror.
    private func overtakenEntryArrives() throws -> Bool {
        let (source, mirror, joined) = try pair()
        for number in 0..<100 { source.fill("r", "old", key: "k\(number)") }
        // The beginning, and as many entries as one message takes.
        for _ in 0..<2 {
            for message in try joined.next() ?? [] { try mirror.applier.apply(message, now: 1) }
        }
        let window = try #require(source.open("r"))
        source.close(window)
        try joined.catchUp()
        return (0..<100).contains { mirror.text("k\($0)") != nil }
    }

    @Test("What is overtaken while it waits to be sent is not, or the mutant would not be found")
    func overtakenEntries() throws {
        #expect(try !overtakenEntryArrives())
        let arrives = try Mutant.$scoped.withValue(.entriesWithoutCheckUnderLock) {
            try overtakenEntryArrives()
        }
        #expect(arrives)
    }
}
