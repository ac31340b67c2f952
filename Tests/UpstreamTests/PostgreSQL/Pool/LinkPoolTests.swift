import NIOCore
import NIOEmbedded
import PostgresWire
import Synchronization
import Telemetry
import Testing

@testable import Upstream

@Suite("A pool and its connections")
struct LinkPoolTests {
    /// A connection of which nothing is heard before the test says so.
    private final class SilentLink: UpstreamLink {
        var isClosed = false
        let delegate: any UpstreamLinkDelegate

        init(_ delegate: any UpstreamLinkDelegate) { self.delegate = delegate }

        func send(_ messages: ByteBuffer) {}
        func setPaused(_ paused: Bool) {}
        func cancelRunningStatement() {}
        func close() { isClosed = true }

        func becomeReady() {
            delegate.upstreamReady(
                UpstreamGreeting(
                    parameterStatuses: [], backendKey: nil, settings: [:], sessionUser: "u"))
        }

        func fail() {
            delegate.upstreamClosed(
                PostgresError(.adminShutdown, "gone"), mayStillRun: false)
        }
    }

    private final class Borrower: LinkBorrower {
        var link: PooledLink?
        var error: PostgresError?

        func lent(_ link: PooledLink) { self.link = link }
        func upstreamReady(_ greeting: UpstreamGreeting) {}
        func upstreamReceived(_ bytes: ByteBuffer) {}
        func upstreamWritabilityChanged(_ isWritable: Bool) {}
        func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) { self.error = error }
    }

    private final class Begun: @unchecked Sendable {
        // Sendable: everything here happens on the one thread of the test.
        var links: [SilentLink] = []
    }

    private let eventLoop = EmbeddedEventLoop()
    private let begun = Begun()
    private let pool: LinkPool

    init() {
        let clock = Atomic<UInt64>(0)
        let begun = begun
        pool = LinkPool(
            key: .init(user: "u", database: "d"),
            settings: PoolSettings(mode: .transaction, size: 4), metrics: nil,
            generation: { 0 }, now: { clock.add(1, ordering: .relaxed).newValue }
        ) { _, _, delegate in
            begun.links.append(SilentLink(delegate))
            return begun.links.last!
        }
    }

    private func wants() throws -> Borrower {
        let borrower = Borrower()
        let member = try pool.join(
            SessionStartup(user: "u", database: "d", parameters: []), on: eventLoop)
        member.borrower = borrower
        borrower.link = member.borrow(wanting: ServerSettings())
        return borrower
    }

    @Test("Who waits for a connection that leads elsewhere by now gets another one at once")
    func replacedWhileConnecting() throws {
        let client = try wants()
        #expect(begun.links.count == 1)
        pool.replaceLinks()
        eventLoop.run()
        try #require(begun.links.count == 2 && begun.links[0].isClosed)
        // Nobody minds what becomes of the first one.
        begun.links[0].becomeReady()
        begun.links[0].fail()
        eventLoop.run()
        #expect(client.link == nil && client.error == nil && pool.figures.connecting == 1)
        begun.links[1].becomeReady()
        eventLoop.run()
        #expect(client.link?.link === begun.links[1])
        #expect(pool.figures.connecting == 0 && pool.figures.busy == 1)
    }

    @Test("A connection that was ready on its way to who waits goes as well")
    func replacedWhenReady() throws {
        let client = try wants()
        begun.links[0].becomeReady()
        pool.replaceLinks()
        eventLoop.run()
        // It was lent before, and goes when it is given back.
        let link = try #require(client.link)
        link.giveBack()
        eventLoop.run()
        #expect(begun.links[0].isClosed)
        #expect(pool.figures.busy == 0 && pool.figures.idle == 0)
    }

    @Test("While it is paused nothing is begun for who waits; afterwards for each")
    func pausedAndReplaced() throws {
        let clients = try [wants(), wants()]
        pool.pause()
        pool.replaceLinks()
        eventLoop.run()
        #expect(begun.links.count == 2 && begun.links.allSatisfy(\.isClosed))
        #expect(pool.figures.waiting == 2 && pool.figures.connecting == 0)
        pool.resume()
        eventLoop.run()
        try #require(begun.links.count == 4 && pool.figures.connecting == 2)
        for link in begun.links[2...] { link.becomeReady() }
        eventLoop.run()
        #expect(clients.allSatisfy { $0.link != nil })
    }
}
