import NIOCore
import NIOEmbedded
import PostgresWire

@testable import Session

/// One reply that a client waits for.
final class ExpectedReply {
    enum Kind {
        case parse(name: String, ModelStatement)
        case bind
        case describe
        case close(name: String)
        case statement(ModelStatement, parameters: [Int32?], isBinary: Bool, prepared: String?)
    }

    let kind: Kind
    /// How many bytes the client had sent with the message that may set it off.
    let offset: Int
    /// The newest version of the database when these bytes arrived at the proxy.
    var arrival: Int?

    init(_ kind: Kind, offset: Int) {
        self.kind = kind
        self.offset = offset
    }
}

/// A Query, or what lies between two Syncs: one ReadyForQuery answers it.
struct Request {
    var replies: [ExpectedReply]
    var next = 0
    var hasFailed = false
}

/// A client connection: its channel into the real proxy, what it has sent, and what it is owed.
final class SimulatedClient {
    let name: String
    let channel: EmbeddedChannel
    unowned let simulation: Simulation
    var backend: ModelBackend?
    /// What its session's settings are to be on whichever shared connection serves it next.
    var ownSettings = ModelSettings()
    /// What its backend has answered, in order: what of it is yet to arrive here.
    var executions: [Execution] = []

    var outbox = ByteBuffer()
    /// Bytes written to `outbox` and, of them, delivered, since the session began.
    var writtenBytes = 0
    private var deliveredBytes = 0
    var requests: [Request] = []
    var received = ByteBuffer()
    var rows: [Int32] = []
    var rowCount = 0

    var isGreeted = false
    var isClosed = false
    var status = TransactionStatus.idle
    /// Of the block that it has begun.
    var isBlockRepeatable = false
    var key: BackendKey?
    /// By name: what it has prepared, and with which time zone if that is certain.
    var prepared: [String: (statement: ModelStatement, zone: Int?)] = [:]
    var unconfirmedNames: Set<String> = []
    var plan: [PlannedRequest] = []

    init(name: String, simulation: Simulation) throws {
        self.name = name
        self.simulation = simulation
        channel = EmbeddedChannel(
            handler: ClientConnectionHandler(
                services: simulation.services, registry: simulation.registry),
            loop: simulation.loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        outbox.writeStartup(parameters: [
            .init(name: "user", value: "app"),
            .init(name: "database", value: Simulation.databaseName),
            .init(name: "application_name", value: name),
        ])
        writtenBytes = outbox.readableBytes
        if simulation.features.pool != nil { ownSettings.applicationName = name }
    }

    func attached(_ backend: ModelBackend) {
        self.backend = backend
        executions = []
    }

    /// What a statement that comes next in the session meets.
    var settings: ModelSettings {
        guard let backend, !backend.isOrphan, !backend.isUnmet else { return ownSettings }
        return backend.settings
    }

    // MARK: Bytes

    /// The next bytes arrive at the proxy.
    func deliver(_ count: Int) throws {
        guard let bytes = outbox.readSlice(length: count) else { return }
        if outbox.readableBytes == 0 { outbox.clear() }
        deliveredBytes += count
        let version = simulation.database.version
        for request in requests {
            for reply in request.replies
            where reply.arrival == nil && reply.offset <= deliveredBytes {
                reply.arrival = version
            }
        }
        try channel.writeInbound(bytes)
    }

    /// Takes what the proxy has sent.
    func drain() throws {
        guard !isClosed else { return }
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
            received.writeImmutableBuffer(bytes)
        }
        while received.readableBytes > 0,
            let frame = try MessageFraming.next(in: &received, limit: 1 << 24)
        {
            try take(frame)
        }
        if received.readableBytes == 0 { received.clear() }
        if !channel.isActive { isClosed = true }
    }

    /// The client goes without a word.
    func disconnect() {
        isClosed = true
        channel.close(promise: nil)
    }
}
