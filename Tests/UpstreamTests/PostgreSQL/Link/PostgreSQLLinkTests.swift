import NIOCore
import PostgresWire
import Testing

@testable import Upstream

@Suite(.timeLimit(.minutes(15)))
struct PostgreSQLLinkTests {
    let server: PostgreSQLTestServer

    init() throws {
        server = try PostgreSQLTestServer.shared()
    }

    private func settings(
        _ user: String = "app", password: String? = nil, database: String = "postgres"
    ) throws -> PostgreSQLUpstreamSettings {
        try PostgreSQLUpstreamSettings(
            connectionString: server.connectionString(
                user: user, password: password, database: database))
    }

    private func query(_ sql: String) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.writeQuery(sql)
        return buffer
    }

    // MARK: Greeting

    @Test("A link connects over TCP, greets, and passes a query's bytes")
    func connects() async throws {
        let link = try await TestLink(try settings())
        let greeting = try await link.ready()
        #expect(greeting.backendKey != nil)
        #expect(
            greeting.parameterStatuses.contains {
                $0.name == "server_encoding" && $0.value == "UTF8"
            })
        #expect(greeting.settings.isEmpty)
        #expect(greeting.sessionUser == "app")
        #expect(try await link.query("SELECT 42") == ["42"])
        try await link.close()
    }

    @Test("A link connects over a unix socket")
    func unixSocket() async throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: "host=\(server.socketDirectory) port=\(server.port)")
        let link = try await TestLink(settings, user: "app", database: "postgres")
        _ = try await link.ready()
        #expect(
            try await link.query("SELECT current_user || '@' || current_database()")
                == ["app@postgres"])
        try await link.close()
    }

    @Test("The probe reports every setting, and what the client's startup changed")
    func probe() async throws {
        let link = try await TestLink(
            try settings(),
            parameters: [
                .init(name: "options", value: "-c search_path=pg_temp,pg_catalog"),
                .init(name: "bytea_output", value: "escape"),
                .init(name: "application_name", value: "tester"),
                .init(name: "_pq_.unknown", value: "1"),
            ], probeSettings: true)
        let greeting = try await link.ready()
        #expect(Set(greeting.settings.keys) == Set(SettingsProbe.settingNames))
        #expect(greeting.settings["search_path"] == "pg_temp,pg_catalog")
        #expect(greeting.settings["bytea_output"] == "escape")
        #expect(greeting.settings["role"] == "none")
        #expect(greeting.settings["default_transaction_isolation"] == "read committed")
        #expect(greeting.sessionUser == "app")
        #expect(
            greeting.parameterStatuses.contains {
                $0.name == "application_name" && $0.value == "tester"
            })
        // The probe's own reply is not passed on.
        #expect(try await link.query("SELECT 1") == ["1"])
        try await link.close()
    }

    @Test("The probe's query tells temporary objects")
    func temporaryObjects() async throws {
        let link = try await TestLink(try settings())
        _ = try await link.ready()
        func probe() async throws -> String? {
            try await link.send { $0.writeQuery(SettingsProbe.query) }
            let rows = try await link.replies().filter { $0.tag == BackendTag.dataRow }
                .map { try DataRowMessage(decoding: $0.body) }
            #expect(rows.count == SettingsProbe.settingNames.count + 2)
            return rows.first { $0.text(at: 0) == SettingsProbe.temporaryObjects }?.text(at: 1)
        }
        #expect(try await probe() == "f")
        _ = try await link.query("CREATE TEMP TABLE t (a int)")
        #expect(try await probe() == "t")
        _ = try await link.query("DISCARD ALL")
        #expect(try await probe() == "f")
        try await link.close()
    }

    @Test("What the connection string sets holds, and the client's own value wins")
    func parameters() async throws {
        let settings = try PostgreSQLUpstreamSettings(
            connectionString: server.connectionString(user: "app")
                + "?application_name=proxy&options=-c%20work_mem%3D5MB%20-c%20lc_time%3DC")
        let link = try await TestLink(
            settings, user: "someone", database: "elsewhere",
            parameters: [.init(name: "options", value: "-c work_mem=6MB")])
        _ = try await link.ready()
        #expect(try await link.query("SHOW work_mem") == ["6MB"])
        #expect(try await link.query("SHOW application_name") == ["proxy"])
        #expect(
            try await link.query("SELECT current_user || current_database()") == ["apppostgres"])
        try await link.close()
    }

    // MARK: Authentication

    @Test(
        "Each password method works with the right password",
        arguments: ["plain_user", "md5_user", "scram_user"])
    func passwords(user: String) async throws {
        let link = try await TestLink(
            try settings(user, password: PostgreSQLTestServer.password), probeSettings: true)
        #expect(try await link.ready().sessionUser == user)
        #expect(try await link.query("SELECT current_user") == [user])
        try await link.close()
    }

    @Test(
        "A wrong password is the server's own error",
        arguments: ["plain_user", "md5_user", "scram_user"])
    func wrongPassword(user: String) async throws {
        let link = try await TestLink(try settings(user, password: "wrong"))
        let (error, mayStillRun) = try await link.closed()
        #expect(error.sqlState == .invalidPassword)
        #expect(error.severity == .fatal)
        #expect(error.message == "password authentication failed for user \"\(user)\"")
        #expect(!mayStillRun)
    }

    @Test("No password where one is needed is an error with a hint")
    func missingPassword() async throws {
        let link = try await TestLink(try settings("scram_user"))
        let (error, _) = try await link.closed()
        #expect(error.sqlState == .invalidPassword)
        #expect(error.hint != nil)
    }

    @Test("Without a user in the connection string the client's own is taken")
    func clientsUser() async throws {
        let link = try await TestLink(
            PostgreSQLUpstreamSettings(
                hosts: [PostgreSQLAddress(host: "127.0.0.1", port: server.port)]),
            user: "app", database: "template1")
        _ = try await link.ready()
        #expect(
            try await link.query("SELECT current_user || current_database()") == ["apptemplate1"])
        try await link.close()
    }

    // MARK: Failure

    @Test("A refused port is 08006 with host, port and reason")
    func refusedPort() async throws {
        let closed = try await ScriptedServer(answer: ByteBuffer())
        try await closed.stop()
        let link = try await TestLink(PostgreSQLUpstreamSettings(hosts: [closed.address]))
        let (error, mayStillRun) = try await link.closed()
        #expect(error.sqlState == .connectionFailure)
        #expect(error.severity == .fatal)
        #expect(
            error.message
                == "connection to upstream server at \"127.0.0.1\", port \(closed.address.port) "
                + "failed: Connection refused")
        #expect(!mayStillRun)
    }

    @Test("An unknown database and a refused user are the server's own errors")
    func serverErrors() async throws {
        let unknown = try await TestLink(try settings(database: "nowhere"))
        #expect(try await unknown.closed().error.sqlState == "3D000")
        let rejected = try await TestLink(try settings("nobody"))
        #expect(try await rejected.closed().error.sqlState == .invalidAuthorization)
    }

    @Test("A server that does not answer is given up, and so is one that hangs up")
    func silence() async throws {
        let silent = try await ScriptedServer(answer: ByteBuffer())
        let link = try await TestLink(
            PostgreSQLUpstreamSettings(hosts: [silent.address], startupTimeout: .milliseconds(50)))
        let (error, _) = try await link.closed()
        #expect(error.sqlState == .connectionFailure)
        #expect(error.message.hasSuffix("timeout expired"))
        try await silent.stop()

        let rude = try await ScriptedServer(answer: ByteBuffer(), hangsUp: true)
        let cut = try await TestLink(PostgreSQLUpstreamSettings(hosts: [rude.address]))
        #expect(
            try await cut.closed().error.message.hasSuffix(
                "server closed the connection unexpectedly")
        )
        try await rude.stop()
    }

    @Test("A server that speaks something else is a protocol violation")
    func garbage() async throws {
        for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "Z\0\0\0\u{5}I", "R\0\0\0\0"] {
            let odd = try await ScriptedServer(answer: ByteBuffer(string: answer))
            let link = try await TestLink(PostgreSQLUpstreamSettings(hosts: [odd.address]))
            #expect(try await link.closed().error.sqlState == .protocolViolation)
            try await odd.stop()
        }
    }

    @Test("Hosts are tried in order, past refused ports and servers that are starting up")
    func severalHosts() async throws {
        let closed = try await ScriptedServer(answer: ByteBuffer())
        try await closed.stop()
        var starting = ByteBuffer()
        starting.writeErrorResponse(
            PostgresError(.cannotConnectNow, "the database system is starting up", severity: .fatal)
        )
        let busy = try await ScriptedServer(answer: starting, hangsUp: true)
        let good = PostgreSQLAddress(host: "127.0.0.1", port: server.port)
        let link = try await TestLink(
            PostgreSQLUpstreamSettings(hosts: [closed.address, busy.address, good]))
        _ = try await link.ready()
        #expect(try await link.query("SELECT 1") == ["1"])
        try await link.close()

        let none = try await TestLink(
            PostgreSQLUpstreamSettings(hosts: [closed.address, busy.address]))
        let (error, _) = try await none.closed()
        #expect(error.sqlState == .cannotConnectNow)
        #expect(error.detail?.contains("Connection refused") == true)
        try await busy.stop()
    }

    @Test("A backend killed in the middle of a query ends the link: it may still run")
    func killedBackend() async throws {
        let link = try await TestLink(try settings())
        let greeting = try await link.ready()
        let process = try #require(greeting.backendKey?.processID)
        try await link.send { $0.writeQuery("SELECT pg_sleep(600)") }
        try await waitUntil("SELECT state = 'active' FROM pg_stat_activity WHERE pid = \(process)")
        try server.execute("SELECT pg_terminate_backend(\(process))")
        var bytes = ByteBuffer()
        loop: while let event = await link.next() {
            switch event {
            case .received(let more): bytes.writeImmutableBuffer(more)
            case .closed(let error, let mayStillRun):
                #expect(error.sqlState == .connectionFailure)
                #expect(mayStillRun)
                break loop
            case .ready, .writability: Issue.record("\(event)")
            }
        }
        // The server's own last words came before.
        var last: MessageFrame?
        while let frame = try MessageFraming.next(in: &bytes, limit: 1 << 20) { last = frame }
        let error = try PostgresError(decodingErrorResponse: try #require(last).body)
        #expect(error.sqlState == .adminShutdown)
    }

    @Test("A link that dies idle and never sent anything leaves nothing running")
    func killedUnused() async throws {
        let link = try await TestLink(try settings())
        let process = try #require(try await link.ready().backendKey?.processID)
        try server.execute("SELECT pg_terminate_backend(\(process))")
        #expect(try await link.closed().mayStillRun == false)
    }

    // MARK: Traffic

    @Test("What is sent before the link is ready goes out in order")
    func pending() async throws {
        let link = try await TestLink(
            try settings("scram_user", password: PostgreSQLTestServer.password),
            probeSettings: true, sendingFirst: (1...5).map { query("SELECT \($0)") })
        _ = try await link.ready()
        let rows = try await link.replies(count: 5).filter { $0.tag == BackendTag.dataRow }
            .map { try DataRowMessage(decoding: $0.body).text(at: 0) }
        #expect(rows == ["1", "2", "3", "4", "5"])
        try await link.close()
    }

    @Test("More than can wait ends the link, and nothing was run")
    func pendingLimit() async throws {
        let silent = try await ScriptedServer(answer: ByteBuffer())
        let chunk = ByteBuffer(repeating: 0, count: 32 << 20)
        let link = try await TestLink(
            PostgreSQLUpstreamSettings(hosts: [silent.address]),
            sendingFirst: [chunk, chunk, ByteBuffer(repeating: 0, count: 1)])
        guard case .writability(false)? = await link.next() else {
            Issue.record("not asked to stop")
            return
        }
        let (error, mayStillRun) = try await link.closed()
        #expect(error.sqlState == .programLimitExceeded)
        #expect(!mayStillRun)
        try await silent.stop()
    }

    @Test("A cancel request ends pg_sleep")
    func cancel() async throws {
        let link = try await TestLink(try settings())
        let process = try #require(try await link.ready().backendKey?.processID)
        try await link.send { $0.writeQuery("SELECT pg_sleep(600)") }
        try await waitUntil(
            "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = \(process)")
        try await link.perform { $0.cancelRunningStatement() }
        let frames = try await link.replies()
        let failure = try #require(frames.first { $0.tag == BackendTag.errorResponse })
        #expect(try PostgresError(decodingErrorResponse: failure.body).sqlState == .queryCanceled)
        #expect(try await link.query("SELECT 1") == ["1"])
        try await link.close()
    }

    @Test("A paused link makes the server wait; resumed, it delivers all of a large result")
    func backPressure() async throws {
        let link = try await TestLink(try settings())
        let process = try #require(try await link.ready().backendKey?.processID)
        try await link.perform { $0.setPaused(true) }
        let rows = 40_000
        try await link.send {
            $0.writeQuery("SELECT repeat('x', 1000) FROM generate_series(1, \(rows))")
        }
        try await waitUntil(
            "SELECT wait_event = 'ClientWrite' FROM pg_stat_activity WHERE pid = \(process)")
        // The server does not read either now, so what is sent piles up on this side.
        let padding = String(repeating: " ", count: 1 << 20)
        try await link.send { buffer in
            for _ in 0..<16 { buffer.writeQuery("SELECT 2" + padding) }
        }
        var scanner = BackendMessageScanner()
        var counts: [UInt8: Int] = [:]
        var writability: [Bool] = []
        while counts[BackendTag.readyForQuery, default: 0] < 17 || writability != [false, true] {
            switch await link.next() {
            case .received(let bytes)?:
                var cursor = bytes.readerIndex
                while let piece = try scanner.next(in: bytes, cursor: &cursor) {
                    if piece.endsMessage { counts[piece.tag, default: 0] += 1 }
                }
            case .writability(let isWritable)?:
                writability.append(isWritable)
                if !isWritable {
                    // A read that was under way when the link was paused may have come through.
                    #expect(counts[BackendTag.dataRow, default: 0] < rows / 10)
                    try await link.perform { $0.setPaused(false) }
                }
            case let event:
                Issue.record("\(String(describing: event))")
                return
            }
        }
        #expect(counts[BackendTag.dataRow] == rows + 16)
        #expect(scanner.isAtBoundary)
        try await link.close()
    }

    // MARK: Closing

    @Test("Closing an idle link ends its backend, before and after it is ready")
    func closing() async throws {
        let link = try await TestLink(try settings())
        let process = try #require(try await link.ready().backendKey?.processID)
        #expect(try await link.query("SELECT 1") == ["1"])
        try await link.close()
        try await waitUntil(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = \(process)")

        let early = try await TestLink(
            try settings(), parameters: [.init(name: "application_name", value: "early")])
        try await early.close()
        try await early.perform { $0.send(ByteBuffer(string: "ignored")) }
        try await waitUntil(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'early'")
    }

    /// Asks until `condition` holds; a minute is the limit.
    private func waitUntil(_ condition: String) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while try server.execute(condition) != "t" {
            try #require(ContinuousClock.now < deadline, "never true: \(condition)")
            await Task.yield()
        }
    }
}
