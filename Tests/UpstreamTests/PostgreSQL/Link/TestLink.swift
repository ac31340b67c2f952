import NIOCore
import NIOPosix
import PostgresWire
import Testing

@testable import Upstream

/// A link with what it told its delegate, for tests that are not on an event loop.
final class TestLink: Sendable {
    enum Event: Sendable {
        case ready(UpstreamGreeting)
        case received(ByteBuffer)
        case writability(Bool)
        case closed(PostgresError, mayStillRun: Bool)
    }

    struct UnexpectedEvent: Error {
        let event: Event?
    }

    /// Turns callbacks into a stream.
    private final class Recorder: UpstreamLinkDelegate {
        let events: AsyncStream<Event>.Continuation
        init(_ events: AsyncStream<Event>.Continuation) { self.events = events }
        func upstreamReady(_ greeting: UpstreamGreeting) { events.yield(.ready(greeting)) }
        func upstreamReceived(_ bytes: ByteBuffer) { events.yield(.received(bytes)) }
        func upstreamWritabilityChanged(_ isWritable: Bool) {
            events.yield(.writability(isWritable))
        }
        func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {
            events.yield(.closed(error, mayStillRun: mayStillRun))
            events.finish()
        }
    }

    private let eventLoop: any EventLoop
    private let link: NIOLoopBound<PostgreSQLLink>
    private let events: AsyncStream<Event>

    init(
        _ settings: PostgreSQLUpstreamSettings, user: String = "app",
        database: String = "postgres", parameters: [SessionStartup.Parameter] = [],
        probeSettings: Bool = false, sendingFirst first: [ByteBuffer] = []
    ) async throws {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self)
        self.eventLoop = eventLoop
        events = stream
        link = try await eventLoop.submit {
            let link = try PostgreSQLLinkFactory(settings: settings).makeLink(
                startup: SessionStartup(user: user, database: database, parameters: parameters),
                eventLoop: eventLoop, delegate: Recorder(continuation),
                probeSettings: probeSettings)
            for messages in first { link.send(messages) }
            return NIOLoopBound(link, eventLoop: eventLoop)
        }.get()
    }

    /// Runs `body` on the link's event loop.
    func perform(_ body: @escaping @Sendable (PostgreSQLLink) -> Void) async throws {
        let link = link
        try await eventLoop.submit { body(link.value) }.get()
    }

    func send(_ write: (inout ByteBuffer) -> Void) async throws {
        var buffer = ByteBuffer()
        write(&buffer)
        let messages = buffer
        try await perform { $0.send(messages) }
    }

    func close() async throws {
        try await perform { $0.close() }
    }

    /// The next thing that happened; nil after the end.
    func next() async -> Event? {
        for await event in events { return event }
        return nil
    }

    func ready() async throws -> UpstreamGreeting {
        let event = await next()
        guard case .ready(let greeting) = event else { throw UnexpectedEvent(event: event) }
        return greeting
    }

    /// How the link ended; replies and writability before that are passed over.
    func closed() async throws -> (error: PostgresError, mayStillRun: Bool) {
        while let event = await next() {
            switch event {
            case .closed(let error, let mayStillRun): return (error, mayStillRun)
            case .ready: throw UnexpectedEvent(event: event)
            case .received, .writability: break
            }
        }
        throw UnexpectedEvent(event: nil)
    }

    /// Messages up to and with the `count`th ReadyForQuery.
    func replies(count: Int = 1) async throws -> [MessageFrame] {
        var frames: [MessageFrame] = []
        var buffer = ByteBuffer()
        var missing = count
        while let event = await next() {
            switch event {
            case .received(let bytes): buffer.writeImmutableBuffer(bytes)
            case .writability: continue
            case .ready, .closed: throw UnexpectedEvent(event: event)
            }
            while let frame = try MessageFraming.next(in: &buffer, limit: 1 << 24) {
                frames.append(frame)
                if frame.tag == BackendTag.readyForQuery { missing -= 1 }
            }
            if missing == 0 { return frames }
        }
        throw UnexpectedEvent(event: nil)
    }

    /// The first columns of the rows that a simple query returns.
    func query(_ sql: String) async throws -> [String?] {
        try await send { $0.writeQuery(sql) }
        return try await replies().filter { $0.tag == BackendTag.dataRow }
            .map { try DataRowMessage(decoding: $0.body).text(at: 0) }
    }
}
