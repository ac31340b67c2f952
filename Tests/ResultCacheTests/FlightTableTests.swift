import Synchronization
import Testing

@testable import ResultCache

@Suite("Single flight")
struct FlightTableTests {
    private let cells: CellSet
    private let lease: FillLease
    private let flights = FlightTable(shardCount: 4, maximumFollowers: 3)

    init() throws {
        let table = CellTable()
        cells = CellSet([
            table.cell(.schema(database: "d")), table.cell(.all(database: "d", relation: "r")),
        ])
        lease = try #require(cells.capture())
    }

    /// What callbacks were given, in order.
    private final class Record: Sendable {
        private let outcomes = Mutex<[String]>([])

        var all: [String] { outcomes.withLock { $0 } }

        func callback(_ name: String) -> @Sendable (FlightOutcome) -> Void {
            { outcome in
                let text =
                    switch outcome {
                    case .reply(let reply): "\(name) \(reply.text)"
                    case .leaderFailed: "\(name) leaderFailed"
                    case .notCacheable: "\(name) notCacheable"
                    }
                self.outcomes.withLock { $0.append(text) }
            }
        }
    }

    private func lead(_ key: String, _ lease: FillLease? = nil) throws -> Flight {
        guard case .leader(let flight) = flights.join(key, lease: lease ?? self.lease) else {
            throw Unexpected()
        }
        return flight
    }

    private func follow(_ key: String, _ record: Record, _ name: String) throws -> FlightTicket {
        guard
            case .follower(let ticket) = flights.join(
                key, lease: lease, onEnd: record.callback(name))
        else { throw Unexpected() }
        return ticket
    }

    private struct Unexpected: Error {}

    private final class Counts: Sendable {
        let told = Atomic(0)
        let owed = Atomic(0)
        let led = Atomic(0)
    }

    private func makeReply(_ text: String) throws -> CachedReply {
        let cache = ReplyCache(limits: CacheLimits(memory: 1 << 20, maximumEntry: 1000))
        return try #require(cache.store("k", text, under: lease).stored)
    }

    @Test("Followers get the leader's reply once, in the order in which they came")
    func sharing() throws {
        let record = Record()
        let flight = try lead("k")
        let tickets = try ["a", "b", "c"].map { try follow("k", record, $0) }
        #expect(flights.count == 1)
        #expect(record.all.isEmpty)
        flight.finish(.reply(try makeReply("rows")))
        #expect(record.all == ["a rows", "b rows", "c rows"])
        #expect(flights.count == 0)

        flight.finish(.leaderFailed)
        for ticket in tickets { #expect(!ticket.cancel()) }
        #expect(record.all.count == 3)
        _ = try lead("k")
    }

    @Test("Only the same key shares a flight, even if hashes are equal")
    func keys() throws {
        let first = withBytes(of: "one") {
            flights.join(key: $0, hash: 1, lease: lease, onEnd: { _ in })
        }
        let second = withBytes(of: "two") {
            flights.join(key: $0, hash: 1, lease: lease, onEnd: { _ in })
        }
        guard case .leader = first, case .leader = second else {
            Issue.record("two keys shared a flight")
            return
        }
        #expect(flights.count == 2)
    }

    @Test("When the leader fails, the first follower to join again leads and the rest follow it")
    func election() throws {
        let record = Record()
        let flight = try lead("k")
        let tickets = try ["a", "b"].map { try follow("k", record, $0) }
        flight.finish(.leaderFailed)
        #expect(record.all == ["a leaderFailed", "b leaderFailed"])
        let next = try lead("k")
        _ = try follow("k", record, "b again")
        next.finish(.notCacheable)
        #expect(record.all.last == "b again notCacheable")
        #expect(tickets.count == 2)
    }

    @Test("A callback may join again: the flight that ended is no longer there")
    func joinFromCallback() throws {
        let flight = try lead("k")
        let roles = Mutex<[String]>([])
        let flights = flights
        let lease = lease
        let role = flights.join("k", lease: lease) { _ in
            if case .leader(let next) = flights.join("k", lease: lease) {
                roles.withLock { $0.append("leader") }
                next.finish(.notCacheable)
            }
        }
        flight.finish(.leaderFailed)
        #expect(roles.withLock { $0 } == ["leader"])
        #expect(flights.count == 0)
        guard case .follower = role else {
            Issue.record("the second to join did not follow")
            return
        }
    }

    @Test("A leader that is dropped without a word leaves nobody waiting")
    func dropped() throws {
        let record = Record()
        var flight: Flight? = try lead("k")
        let ticket = try follow("k", record, "a")
        #expect(flight != nil)
        flight = nil
        #expect(record.all == ["a leaderFailed"])
        #expect(!ticket.cancel())
        #expect(flights.count == 0)
    }

    @Test("A follower that cancels hears nothing, and its place is free again")
    func cancel() throws {
        let record = Record()
        let flight = try lead("k")
        let tickets = try ["a", "b", "c"].map { try follow("k", record, $0) }
        #expect(tickets[1].cancel())
        #expect(!tickets[1].cancel())
        _ = try follow("k", record, "d")
        flight.finish(.notCacheable)
        #expect(record.all == ["a notCacheable", "c notCacheable", "d notCacheable"])
    }

    @Test("A callback can cancel a later follower of the same flight")
    func cancelWhileFinishing() throws {
        let record = Record()
        let flight = try lead("k")
        let later = Mutex<FlightTicket?>(nil)
        _ = flights.join("k", lease: lease) { _ in
            later.withLock { ticket in
                if ticket?.cancel() == true { record.callback("cancelled")(.notCacheable) }
            }
        }
        let ticket = try follow("k", record, "b")
        later.withLock { $0 = ticket }
        flight.finish(.leaderFailed)
        #expect(record.all == ["cancelled notCacheable"])
        later.withLock { $0 = nil }
    }

    @Test("Above the limit of followers, a miss runs alone")
    func followerLimit() throws {
        let record = Record()
        let flight = try lead("k")
        let tickets = try ["a", "b", "c"].map { try follow("k", record, $0) }
        guard case .independent = flights.join("k", lease: lease, onEnd: record.callback("d"))
        else {
            Issue.record("a fourth follower was let in")
            return
        }
        flight.finish(.notCacheable)
        #expect(record.all.count == tickets.count)
    }

    @Test("Who asks after a commit does not share an older flight, but leads a new one")
    func superseded() throws {
        let record = Record()
        let old = try lead("k")
        let oldTicket = try follow("k", record, "old")
        try #require(WriteWindow.open(cells)).close(.committed)
        let fresh = try #require(cells.capture())

        let new = try lead("k", fresh)
        guard case .follower = flights.join("k", lease: fresh, onEnd: record.callback("new"))
        else {
            Issue.record("nobody could follow the new flight")
            return
        }
        // A late arrival with the old lease fits neither.
        guard case .independent = flights.join("k", lease: lease) else {
            Issue.record("a stale lease was let in")
            return
        }
        old.finish(.notCacheable)
        #expect(record.all == ["old notCacheable"])
        #expect(flights.count == 1)
        new.finish(.leaderFailed)
        #expect(record.all == ["old notCacheable", "new leaderFailed"])
        #expect(flights.count == 0)
        #expect(!oldTicket.cancel())
    }

    @Test("While the leader's lease holds, who has another lease runs alone")
    func otherCells() throws {
        let flight = try lead("k")
        let other = try #require(CellSet([cells.cells[0]]).capture())
        #expect(other.sum == lease.sum)
        guard case .independent = flights.join("k", lease: other) else {
            Issue.record("a lease on other cells was let in")
            return
        }
        flight.finish(.notCacheable)
    }

    @Test("An aborted write between leader and follower does not part them")
    func abortedInBetween() throws {
        let record = Record()
        let flight = try lead("k")
        try #require(WriteWindow.open(cells)).close(.aborted)
        let later = try #require(cells.capture())
        guard case .follower = flights.join("k", lease: later, onEnd: record.callback("a")) else {
            Issue.record("a follower was turned away")
            return
        }
        flight.finish(.leaderFailed)
        #expect(record.all == ["a leaderFailed"])
    }

    @Test("With many threads, each that follows is told exactly once, unless it cancelled in time")
    func concurrency() async {
        let flights = FlightTable(shardCount: 2, maximumFollowers: 100)
        let lease = lease
        let counts = Counts()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for round in 0..<5_000 {
                        switch flights.join(
                            "k\(round % 3)", lease: lease,
                            onEnd: { _ in counts.told.add(1, ordering: .relaxed) })
                        {
                        case .leader(let flight):
                            counts.led.add(1, ordering: .relaxed)
                            await Task.yield()
                            if round % 2 == 0 { flight.finish(.notCacheable) }
                        case .follower(let ticket):
                            counts.owed.add(1, ordering: .relaxed)
                            if (round + task) % 4 == 0 {
                                await Task.yield()
                                if ticket.cancel() { counts.owed.subtract(1, ordering: .relaxed) }
                            }
                        case .independent:
                            break
                        }
                    }
                }
            }
        }
        #expect(counts.told.load(ordering: .relaxed) == counts.owed.load(ordering: .relaxed))
        #expect(counts.led.load(ordering: .relaxed) > 0)
        #expect(flights.count == 0)
    }
}
