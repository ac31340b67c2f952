import NIOCore
import PostgresWire
import SQLAnalysis
import Synchronization
import Telemetry
import Upstream

/// An upstream that does nothing by itself: a test sees what is sent to it and plays its replies.
///
/// Its analyser knows the few statements that the tests use. Confined to one embedded event loop.
final class ScriptedUpstream: Upstream, @unchecked Sendable {
    // Unchecked: everything happens on the one thread of an embedded event loop.
    private(set) var links: [ScriptedLink] = []
    let scriptedAnalyzer = ScriptedAnalyzer()
    var isReadyAtOnce = true
    /// Who waits for proof that a server-side session has ended.
    private var waiting: [@Sendable () -> Void] = []

    var analyzer: any StatementAnalyzer { scriptedAnalyzer }
    var settingsProbe: String? { "PROBE" }

    func makeLink(
        startup: SessionStartup, eventLoop: any EventLoop, delegate: any UpstreamLinkDelegate
    ) -> any UpstreamLink {
        let link = ScriptedLink(delegate: delegate)
        links.append(link)
        if isReadyAtOnce { eventLoop.execute { delegate.upstreamReady(self.greeting) } }
        return link
    }

    /// What links made from now on are greeted with.
    var greeting = UpstreamGreeting(
        parameterStatuses: [.init(name: "client_encoding", value: "UTF8")],
        backendKey: BackendKey(processID: 7, secret: 8),
        settings: [
            "search_path": "public", "role": "none",
            "default_transaction_isolation": "read committed",
        ], sessionUser: "tester")

    func checkReachable() async throws {}
    func shutDown() async {}

    func waitUntilEnded(_ key: BackendKey?, database: String) async throws {
        preconditionFailure("asked with a callback")
    }

    func whenEnded(
        _ key: BackendKey?, database: String, _ then: @escaping @Sendable () -> Void
    ) {
        waiting.append(then)
    }

    /// The proof has come, for all sessions that were lost.
    func sessionsEnded() {
        let waiting = waiting
        self.waiting = []
        for then in waiting { then() }
    }
}

final class ScriptedLink: UpstreamLink {
    private let delegate: any UpstreamLinkDelegate
    /// What has been sent and not yet been looked at.
    private var sent = ByteBuffer()
    private(set) var isClosed = false
    private(set) var cancellations = 0

    init(delegate: any UpstreamLinkDelegate) {
        self.delegate = delegate
    }

    func send(_ messages: ByteBuffer) { sent.writeImmutableBuffer(messages) }
    func setPaused(_ paused: Bool) {}
    func cancelRunningStatement() { cancellations += 1 }
    func close() { isClosed = true }

    /// The messages sent since the last look: their tags, with the text of Query and Parse.
    func takeSent() throws -> [String] {
        var seen: [String] = []
        while let frame = try MessageFraming.next(in: &sent, limit: 1 << 20) {
            switch frame.tag {
            case FrontendTag.query:
                seen.append("Q " + (try QueryMessage(decoding: frame.body)).query)
            case FrontendTag.parse:
                seen.append("P " + (try ParseMessage(decoding: frame.body)).query)
            default:
                seen.append(String(UnicodeScalar(frame.tag)))
            }
        }
        return seen
    }

    func reply(_ write: (inout ByteBuffer) -> Void) {
        var bytes = ByteBuffer()
        write(&bytes)
        delegate.upstreamReceived(bytes)
    }

    /// One row of one text column, as a reply to a simple Query.
    func replyRow(_ value: String, status: TransactionStatus = .idle) {
        reply {
            $0.writeRow(value)
            $0.writeReadyForQuery(status)
        }
    }

    func replyTag(_ tag: String, status: TransactionStatus = .idle) {
        reply {
            $0.writeCommandComplete(tag)
            $0.writeReadyForQuery(status)
        }
    }

    func becomeReady(_ greeting: UpstreamGreeting) { delegate.upstreamReady(greeting) }

    func lose() {
        delegate.upstreamClosed(
            PostgresError(.connectionFailure, "gone", severity: .fatal), mayStillRun: true)
    }
}

extension ByteBuffer {
    mutating func writeRow(_ value: String, described: Bool = true) {
        if described {
            writeRowDescription([
                FieldDescription(
                    name: "v", tableOID: 0, columnNumber: 0, typeOID: 25, typeSize: -1,
                    typeModifier: -1, format: 0)
            ])
        }
        writeDataRow(columnCount: 1) { $0.writeDataRowText(value) }
        writeCommandComplete("SELECT 1")
    }
}

/// Knows `SELECT … t`, `SELECT … tenant`, `SET app.tenant x`, `UPDATE t`, `DDL`, `DO`, transaction
/// control and SET. The keys of rows are words such as `id=1,$2`: see `ScriptedAnalyzer+Rows`.
final class ScriptedAnalyzer: StatementAnalyzer {
    static let table = Relation(identifier: RelationIdentifier("t"), name: "t", schema: "public")
    private let version = Mutex<UInt64>(0)
    private let held = Mutex<(isHolding: Bool, completions: [@Sendable () -> Void])>((false, []))

    func profile(
        of sql: String, parameterTypes: [UInt32], context: ResolutionContext,
        completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> ProfileLookup {
        let profile = QueryProfile(
            statements: sql.split(separator: ";").map { Self.profile(String($0)) },
            catalogVersion: catalogVersion(database: context.database))
        let isHeld = held.withLock { held in
            if held.isHolding { held.completions.append { completion(profile) } }
            return held.isHolding
        }
        return isHeld ? .pending : .known(profile)
    }

    /// Whether profiles asked for from now on are given only by `release`.
    var isHolding: Bool {
        get { held.withLock(\.isHolding) }
        set { held.withLock { $0.isHolding = newValue } }
    }

    func release() {
        let completions = held.withLock { held in
            held.isHolding = false
            defer { held.completions = [] }
            return held.completions
        }
        for completion in completions { completion() }
    }

    func catalogVersion(database: String) -> UInt64 { version.withLock { $0 } }
    func set(catalogVersion: UInt64) { version.withLock { $0 = catalogVersion } }

    private static func profile(_ sql: String) -> StatementProfile {
        switch sql.split(separator: " ").first {
        case "SELECT":
            read(sql)
        case "UPDATE":
            StatementProfile(
                kind: .write, writeSet: .relations([table.identifier: pins(in: sql)]))
        case "DDL":
            StatementProfile(kind: .write, writeSet: .everythingAndCatalog)
        case "COMMIT":
            StatementProfile(kind: .transaction(.commit(chain: false)))
        case "ROLLBACK":
            StatementProfile(
                kind: .transaction(
                    sql == "ROLLBACK" ? .rollback(chain: false) : .rollbackToSavepoint))
        case "COPY":
            StatementProfile(kind: .write, writeSet: .relations([table.identifier]))
        case "DEALLOCATE":
            StatementProfile(kind: .harmless)
        case "BEGIN":
            StatementProfile(kind: .transaction(.begin(isolation: nil)))
        case "SET" where sql.contains("app.tenant"):
            StatementProfile(kind: .setting(tenant(sql)))
        case "SET":
            StatementProfile(kind: .setting(.set(name: "search_path", value: sql)))
        default:
            .opaque(.unparsed)
        }
    }

    /// What mentions `tenant` depends on `app.tenant`.
    private static func read(_ sql: String) -> StatementProfile {
        var profile = StatementProfile(
            kind: .read, readSet: [table], dependencies: dependencies(in: sql),
            bypassReason: nil, hasTimeTypedParameters: false)
        if sql.contains("tenant") { profile.settingsRead = ["app.tenant"] }
        return profile
    }

    /// `SET app.tenant x` and `SET LOCAL app.tenant x`.
    private static func tenant(_ sql: String) -> SettingChange {
        let value = String(sql.split(separator: " ").last ?? "")
        return sql.contains("LOCAL")
            ? .setLocal(name: "app.tenant", value: value) : .set(name: "app.tenant", value: value)
    }
}
