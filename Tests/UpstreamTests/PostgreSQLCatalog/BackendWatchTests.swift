import Foundation
import ResultCache
import SQLAnalysis
import Synchronization
import Testing

@testable import Upstream

@Suite("The control connection")
struct BackendWatchTests {
    @Test("A backend is waited for until it is gone")
    func waitsForBackend() async throws {
        let fixture = try AnalyzerFixture("CREATE TABLE t (id int);")
        let control = ControlConnection(
            conninfo: fixture.server.connectionString(), database: fixture.database, user: nil,
            onServerChanged: {})
        defer { control.close() }
        let pid = try #require(
            Int32(
                try await control.run { session throws(ControlError) in
                    try session.query("SELECT pg_catalog.pg_backend_pid()").string(0, 0)
                }))
        let hasReturned = Mutex(false)
        let analyzer = fixture.analyzer
        let waiting = Task {
            try await analyzer.waitUntilEnded(key: pid, database: fixture.database)
            hasReturned.withLock { $0 = true }
        }
        // The analyzer's own control connection answers, so it has looked by then.
        _ = try await fixture.profile("SELECT * FROM t")
        #expect(!hasReturned.withLock { $0 })
        control.close()
        try await waiting.value
        let left = try fixture.server.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid = \(pid)")
        #expect(left == "0")
        try await analyzer.waitUntilEnded(key: nil, database: fixture.database)
    }

    @Test("Waiting for a backend ends when the task is cancelled")
    func cancellation() async throws {
        let fixture = try AnalyzerFixture("CREATE TABLE t (id int);")
        let analyzer = PostgreSQLAnalyzer(
            conninfo: "postgresql://postgres@127.0.0.1:1/x", cells: fixture.cells)
        let waiting = Task { try await analyzer.waitUntilEnded(key: 1, database: "x") }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        analyzer.close()
    }

    @Test("Errors of the server are told with their SQLSTATE, and the connection survives")
    func errors() async throws {
        let fixture = try AnalyzerFixture("CREATE TABLE t (id int);")
        let control = ControlConnection(
            conninfo: fixture.server.connectionString(), database: fixture.database, user: nil,
            onServerChanged: {})
        defer { control.close() }
        let failure = await #expect(throws: ControlError.self) {
            try await control.run { session throws(ControlError) in
                try session.query("SELECT 1 / pg_catalog.length($1)", [""]).string(0, 0)
            }
        }
        #expect(failure?.sqlState == "22012")
        let quoted = try await control.run { session throws(ControlError) in
            try session.query("SELECT $1", ["a'b; --"]).string(0, 0)
        }
        #expect(quoted == "a'b; --")
    }

    @Test("A restart of the server is noticed without anybody asking")
    func restart() async throws {
        let server = try PostgreSQLTestServer.start()
        defer { server.stop() }
        let changes = Mutex(0)
        let control = ControlConnection(
            conninfo: server.connectionString(), database: "postgres", user: nil,
            onServerChanged: { changes.withLock { $0 += 1 } })
        defer { control.close() }
        _ = try await control.run { session throws(ControlError) in
            try session.checkServer()
            return true
        }
        #expect(changes.withLock { $0 } == 0)
        let directory = try server.execute("SHOW data_directory")
        try Self.control(server, directory, "restart")
        let deadline = ContinuousClock.now + .seconds(30)
        while changes.withLock({ $0 }) == 0, ContinuousClock.now < deadline {
            await Task.yield()
        }
        #expect(changes.withLock { $0 } == 1)
        // The server that runs now is no child of this process.
        try Self.control(server, directory, "stop")
    }

    /// Runs pg_ctl on the server's directory. The new server must not inherit the descriptor by
    /// which `Process` sees a child's end, so the shell closes everything first.
    private static func control(_ server: PostgreSQLTestServer, _ directory: String, _ verb: String)
        throws
    {
        let script = """
            for fd in $(ls /proc/$$/fd); do [ $fd -gt 2 ] && eval "exec $fd>&-"; done
            exec "$0"/pg_ctl -D "$1" -w -m fast -l "$1"/restart.log "$2"
            """
        let binaries = try server.execute("SELECT setting FROM pg_config() WHERE name = 'BINDIR'")
        let asServerUser = [
            "/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
        ]
        let command =
            (geteuid() == 0 ? asServerUser : [])
            + ["/bin/bash", "-c", script, binaries, directory, verb]
        let process = Process()
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: "/tmp")
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
