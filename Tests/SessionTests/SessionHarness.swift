import Logging
import NIOCore
import NIOEmbedded
import PostgresWire
import ResultCache
import Telemetry
import Testing
import Upstream

@testable import Session

/// Client connections on one embedded event loop, in front of one scripted upstream.
final class SessionHarness {
    let loop = EmbeddedEventLoop()
    let upstream = ScriptedUpstream()
    let cells = CellTable()
    let services: SessionServices
    let registry = ConnectionRegistry(limit: 10)

    init() {
        services = SessionServices(
            upstream: upstream,
            cache: ReplyCache(limits: CacheLimits(memory: 1 << 24, maximumEntry: 1 << 16)),
            cells: cells,
            options: SessionOptions(
                isCacheEnabled: true, maximumEntry: 1 << 16, maximumMessage: 1 << 20,
                startupTimeout: .seconds(10)
            ) { _, _ in .store(timeToLive: nil) },
            metrics: ProxyMetrics(version: "test"), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        catalogReloaded()
    }

    /// Whatever the test was about: no window outlives the sessions and what is proven of them.
    deinit {
        upstream.sessionsEnded()
        #expect(services.metrics.writeWindowsOpen.value == 0)
    }

    /// A client with `SELECT t` cached in both protocols, its replies taken.
    static func warmed() throws -> (SessionHarness, HarnessClient) {
        let harness = SessionHarness()
        let client = try harness.client()
        try client.execute("SELECT t")
        let link = try harness.lastLink
        link.reply {
            $0.writeParseComplete()
            $0.writeBindComplete()
            $0.writeRow("one")
            $0.writeReadyForQuery(.idle)
        }
        _ = try (client.take(), link.takeSent())
        return (harness, client)
    }

    /// The analyser has read the catalog as it is now.
    func catalogReloaded() {
        let catalog = cells.cell(.catalog(database: "db"))
        upstream.scriptedAnalyzer.set(catalogVersion: catalog.current)
    }

    /// A connected client, its greeting taken.
    func client() throws -> HarnessClient {
        let client = try HarnessClient(harness: self)
        var startup = ByteBuffer()
        startup.writeStartup(parameters: [
            .init(name: "user", value: "tester"), .init(name: "database", value: "db"),
        ])
        try client.send(startup)
        let greeting = try client.take()
        try #require(greeting.last == "Z I")
        return client
    }

    var lastLink: ScriptedLink {
        get throws { try #require(upstream.links.last) }
    }
}

final class HarnessClient {
    let channel: EmbeddedChannel
    private let harness: SessionHarness
    private var received = ByteBuffer()
    /// What a CancelRequest for this session has to name.
    private(set) var key: BackendKey?

    init(harness: SessionHarness) throws {
        self.harness = harness
        channel = EmbeddedChannel(
            handler: ClientConnectionHandler(
                services: harness.services, registry: harness.registry), loop: harness.loop)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    deinit {
        leave()
    }

    /// Closes the connection without a word.
    func leave() {
        channel.close(promise: nil)
        harness.loop.run()
    }

    func send(_ bytes: ByteBuffer) throws {
        try channel.writeInbound(bytes)
        harness.loop.run()
    }

    func query(_ sql: String) throws {
        var bytes = ByteBuffer()
        bytes.writeQuery(sql)
        try send(bytes)
    }

    /// A CancelRequest with this session's key, dealt with.
    func cancel() throws {
        harness.services.cancellations.cancel(try #require(key)) {}
        harness.loop.run()
    }

    /// Parse, Bind, Describe, Execute, Sync; without Parse where `sql` is nil. `format` is that of
    /// all parameters: 0 is text, 1 binary.
    func execute(
        _ sql: String?, name: String = "", parameters: [ByteBuffer?] = [], format: Int16 = 0
    ) throws {
        var bytes = ByteBuffer()
        if let sql { ParseMessage(statement: name, query: sql).write(to: &bytes) }
        BindMessage(
            statement: name, parameterFormats: format == 0 ? [] : [format], parameters: parameters
        ).write(to: &bytes)
        DescribeMessage(target: .portal, name: "").write(to: &bytes)
        ExecuteMessage(portal: "", maximumRows: 0).write(to: &bytes)
        bytes.writeSync()
        try send(bytes)
    }

    /// What has come since the last call: a tag per message, with the value of rows, the text of
    /// CommandComplete and the status of ReadyForQuery.
    func take() throws -> [String] {
        harness.loop.run()
        while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
            received.writeImmutableBuffer(bytes)
        }
        var seen: [String] = []
        while let frame = try MessageFraming.next(in: &received, limit: 1 << 24) {
            var body = frame.body
            let tag = String(UnicodeScalar(frame.tag))
            switch frame.tag {
            case BackendTag.dataRow:
                body.moveReaderIndex(forwardBy: 2)
                let length = body.readInteger(as: Int32.self) ?? 0
                seen.append("D " + (body.readString(length: Int(length)) ?? ""))
            case BackendTag.backendKeyData:
                key = try BackendKey(decoding: body)
                seen.append(tag)
            case BackendTag.commandComplete:
                seen.append("C " + (body.readName() ?? ""))
            case BackendTag.readyForQuery:
                seen.append("Z " + (body.readString(length: 1) ?? ""))
            default:
                seen.append(tag)
            }
        }
        return seen
    }
}
