import CSQLite
import Foundation
import Logging
import NIOCore
import NIOPosix
import PostgresWire
import ResultCache
import SQLAnalysis
import Testing

@testable import Upstream

/// A SQLite file of its own in a temporary directory, with an upstream on it.
final class SQLiteFixture: Sendable {
    let directory: URL
    let path: String
    let cells = CellTable()
    let upstream: SQLiteUpstream

    init(
        _ schema: String = "", configure: (inout SQLiteUpstreamSettings) -> Void = { _ in }
    ) throws {
        directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("mynah-sqlite-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        path = directory.appendingPathComponent("shop.db").path
        try Self.run("PRAGMA user_version = 1; " + schema, at: path)
        var settings = SQLiteUpstreamSettings()
        configure(&settings)
        upstream = try SQLiteUpstream(
            path: path, settings: settings, cells: cells, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    /// Runs SQL as another process would, on a connection of its own.
    static func run(_ sql: String, at path: String) throws {
        var handle: OpaquePointer?
        guard sqlite3_open(path, &handle) == SQLITE_OK, let handle else {
            throw PostgresError(.internalError, "cannot open")
        }
        defer { sqlite3_close_v2(handle) }
        sqlite3_busy_timeout(handle, 5_000)
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else {
            throw PostgresError(.internalError, String(cString: sqlite3_errmsg(handle)))
        }
    }

    func runElsewhere(_ sql: String) throws { try Self.run(sql, at: path) }

    func client(
        user: String = "alice", database: String = "shop",
        parameters: [SessionStartup.Parameter] = []
    ) async throws -> SQLiteClient {
        let client = SQLiteClient(
            fixture: self,
            startup: SessionStartup(user: user, database: database, parameters: parameters))
        try await client.start()
        return client
    }

    var schemaCell: VersionCell { cells.cell(.schema(database: "shop")) }
    var catalogCell: VersionCell { cells.cell(.catalog(database: "shop")) }

    func profile(_ sql: String, _ parameterTypes: [UInt32] = []) async -> [StatementProfile] {
        await withCheckedContinuation { continuation in
            let lookup = upstream.analyzer.profile(
                of: sql, parameterTypes: parameterTypes,
                context: ResolutionContext(
                    database: "shop", sessionUser: "alice", currentRole: "alice",
                    searchPath: "public")
            ) { continuation.resume(returning: $0.statements) }
            if case .known(let profile) = lookup {
                continuation.resume(returning: profile.statements)
            }
        }
    }
}

/// Drives one link with frontend messages and reads its replies as short texts.
final class SQLiteClient: UpstreamLinkDelegate, @unchecked Sendable {
    // Sendable: all state is touched on `eventLoop` only.
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    /// Held, so that the file lives as long as a client of it.
    private let fixture: SQLiteFixture
    private let startup: SessionStartup
    private var link: (any UpstreamLink)?

    private var received = ByteBuffer()
    private var replies: [String] = []
    private(set) var receivedBytes = 0
    private var closedWith: PostgresError?
    private var greeting: UpstreamGreeting?
    private var writability: [Bool] = []
    private struct Waiter {
        let isMet: () -> Bool
        let continuation: CheckedContinuation<Void, any Error>
        let deadline: Scheduled<Void>
    }
    private var waiters: [Int: Waiter] = [:]
    private var nextWaiter = 0

    init(fixture: SQLiteFixture, startup: SessionStartup) {
        self.fixture = fixture
        self.startup = startup
    }

    func start() async throws {
        eventLoop.execute { [self] in
            link = fixture.upstream.makeLink(
                startup: startup, eventLoop: eventLoop, delegate: self)
        }
        try await wait { self.greeting != nil || self.closedWith != nil }
        if let error = try await closeReason { throw error }
    }

    var closeReason: PostgresError? {
        get async throws { try await eventLoop.submit { [self] in closedWith }.get() }
    }

    /// On the event loop only.
    var closedWithNow: PostgresError? { closedWith }

    var greetingValue: UpstreamGreeting {
        get async throws {
            let value = try await eventLoop.submit { [self] in greeting }.get()
            return try #require(value)
        }
    }

    // MARK: Sending

    func send(_ write: @escaping @Sendable (inout ByteBuffer) -> Void) {
        eventLoop.execute { [self] in
            var buffer = ByteBuffer()
            write(&buffer)
            link?.send(buffer)
        }
    }

    func setPaused(_ paused: Bool) { eventLoop.execute { [self] in link?.setPaused(paused) } }
    func cancel() { eventLoop.execute { [self] in link?.cancelRunningStatement() } }

    func close() async throws { try await eventLoop.submit { [self] in link?.close() }.get() }

    /// Sends a simple query and returns everything up to ReadyForQuery.
    @discardableResult
    func query(_ sql: String) async throws -> [String] {
        send { $0.writeQuery(sql) }
        return try await untilReady()
    }

    /// Parse, Bind, Describe the portal, Execute, Sync.
    func extended(
        _ sql: String, types: [UInt32] = [], _ parameters: [String?] = [], binary: Bool = false,
        limit: Int32 = 0
    ) async throws -> [String] {
        send { buffer in
            ParseMessage(statement: "", query: sql, parameterTypes: types).write(to: &buffer)
            BindMessage(
                parameters: parameters.map { $0.map { ByteBuffer(string: $0) } },
                resultFormats: binary ? [1] : []
            ).write(to: &buffer)
            DescribeMessage(target: .portal, name: "").write(to: &buffer)
            ExecuteMessage(portal: "", maximumRows: limit).write(to: &buffer)
            buffer.writeSync()
        }
        return try await untilReady()
    }

    /// Everything received since the last call, once a ReadyForQuery is in it.
    func untilReady(_ count: Int = 1) async throws -> [String] {
        try await wait {
            self.replies.filter { $0.hasPrefix("Z") }.count >= count || self.closedWith != nil
        }
        return try await takeReplies()
    }

    func takeReplies() async throws -> [String] {
        try await eventLoop.submit { [self] in
            defer { replies = [] }
            return replies
        }.get()
    }

    var writabilityChanges: [Bool] {
        get async throws { try await eventLoop.submit { [self] in writability }.get() }
    }

    var byteCount: Int {
        get async throws { try await eventLoop.submit { [self] in receivedBytes }.get() }
    }

    func wait(_ isMet: @escaping @Sendable () -> Bool) async throws {
        try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Void, any Error>) in
            eventLoop.execute { [self] in
                if isMet() {
                    continuation.resume()
                    return
                }
                let id = nextWaiter
                nextWaiter += 1
                let deadline = eventLoop.scheduleTask(in: .seconds(30)) { [self] in
                    guard let waiter = waiters.removeValue(forKey: id) else { return }
                    waiter.continuation.resume(
                        throwing: PostgresError(
                            .internalError, "no reply in 30 s; so far \(replies)"))
                }
                waiters[id] = Waiter(
                    isMet: isMet, continuation: continuation, deadline: deadline)
            }
        }
    }

    func waitForReply(_ prefix: String) async throws {
        try await wait { self.replies.contains { $0.hasPrefix(prefix) } }
    }

    private func checkWaiters() {
        for (id, waiter) in waiters where waiter.isMet() {
            waiters[id] = nil
            waiter.deadline.cancel()
            waiter.continuation.resume()
        }
    }

    // MARK: UpstreamLinkDelegate

    func upstreamReady(_ greeting: UpstreamGreeting) {
        eventLoop.preconditionInEventLoop()
        self.greeting = greeting
        checkWaiters()
    }

    func upstreamReceived(_ bytes: ByteBuffer) {
        eventLoop.preconditionInEventLoop()
        var bytes = bytes
        receivedBytes += bytes.readableBytes
        received.writeBuffer(&bytes)
        while let frame = try? MessageFraming.next(in: &received, limit: 1 << 30) {
            replies.append(Self.text(frame))
        }
        received.discardReadBytes()
        checkWaiters()
    }

    func upstreamWritabilityChanged(_ isWritable: Bool) {
        eventLoop.preconditionInEventLoop()
        writability.append(isWritable)
    }

    func upstreamClosed(_ error: PostgresError, mayStillRun: Bool) {
        eventLoop.preconditionInEventLoop()
        closedWith = error
        checkWaiters()
    }

    // MARK: Replies as text

    private static func text(_ frame: MessageFrame) -> String {
        var body = frame.body
        let tag = String(UnicodeScalar(frame.tag))
        switch frame.tag {
        case BackendTag.rowDescription:
            let fields = (try? FieldDescription.list(decodingRowDescription: body)) ?? []
            return "T "
                + fields.map { "\($0.name):\(PostgresType(oid: $0.typeOID)?.name ?? "?")" }
                .joined(separator: ",")
        case BackendTag.dataRow:
            let row = try? DataRowMessage(decoding: body)
            let values = (row?.values ?? []).map { value -> String in
                guard let value else { return "NULL" }
                let bytes = Array(value.readableBytesView)
                if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) {
                    return String(decoding: bytes, as: UTF8.self)
                }
                return "0x" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            }
            return "D " + values.joined(separator: "|")
        case BackendTag.commandComplete: return "C " + (body.readNullTerminatedString() ?? "")
        case BackendTag.readyForQuery: return "Z " + (body.readString(length: 1) ?? "")
        case BackendTag.errorResponse, BackendTag.noticeResponse:
            let error = try? PostgresError(decodingErrorResponse: body)
            return "\(tag) \(error?.sqlState.rawValue ?? "?") \(error?.message ?? "?")"
        case BackendTag.parameterDescription:
            let count = body.readInteger(as: UInt16.self) ?? 0
            return "t "
                + (0..<count).map { _ in String(body.readInteger(as: UInt32.self) ?? 0) }
                .joined(separator: ",")
        case BackendTag.parameterStatus:
            let name = body.readNullTerminatedString() ?? ""
            return "S \(name)=\(body.readNullTerminatedString() ?? "")"
        default: return tag
        }
    }
}

/// The replies without their messages' words: what is compared where only the kind counts.
func kinds(_ replies: [String]) -> [String] {
    replies.map { reply in
        reply.hasPrefix("E ") || reply.hasPrefix("N ") ? String(reply.prefix(7)) : reply
    }
}
