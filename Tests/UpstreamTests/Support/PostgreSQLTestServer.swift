import Foundation

/// A PostgreSQL server of the tests' own: fresh data directory, free port, loopback and unix socket
/// only. Not durable. Password rules are in `hostBasedAuthentication`.
final class PostgreSQLTestServer: Sendable {
    let port: Int
    /// Holds the unix socket; goes where a connection string takes a host name.
    let socketDirectory: String
    private let dataDirectory: String
    private let binaries: String
    private let process: Process

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Users with a password get the method that their name says; everyone else is trusted.
    static let password = "pa55 wörd"
    private static let hostBasedAuthentication = """
        local all all trust
        host all plain_user 127.0.0.1/32 password
        host all md5_user 127.0.0.1/32 md5
        host all scram_user 127.0.0.1/32 scram-sha-256
        host all nobody 127.0.0.1/32 reject
        host all all 127.0.0.1/32 trust

        """
    private static let users = """
        SET password_encryption = 'md5';
        CREATE ROLE plain_user LOGIN PASSWORD '\(password)';
        CREATE ROLE md5_user LOGIN PASSWORD '\(password)';
        SET password_encryption = 'scram-sha-256';
        CREATE ROLE scram_user LOGIN PASSWORD '\(password)';
        CREATE ROLE app LOGIN;
        """

    // MARK: One server for the whole test process

    private static let sharedResult = Result {
        let server = try PostgreSQLTestServer()
        atexit { PostgreSQLTestServer.stopShared() }
        return server
    }

    /// A server that all tests of the process share; it stops when the process exits. Tests use
    /// databases or tables of their own.
    static func shared() throws -> PostgreSQLTestServer {
        try sharedResult.get()
    }

    private static func stopShared() {
        if case .success(let server) = sharedResult { server.stop() }
    }

    // MARK: A server

    /// A server of one test's own; whoever starts it stops it.
    static func start(settings: [String] = []) throws -> PostgreSQLTestServer {
        try PostgreSQLTestServer(settings: settings)
    }

    private init(settings: [String] = []) throws {
        binaries = try Self.findBinaries()
        socketDirectory = try Self.run(["/usr/bin/mktemp", "-d", "/tmp/mynah-pg-XXXXXX"])
        dataDirectory = socketDirectory + "/data"
        let initdb = [
            "\(binaries)/initdb", "-D", dataDirectory, "-U", "postgres", "-A", "trust", "-N",
            "--locale=C.UTF-8", "-E", "UTF8",
        ]
        try Self.run(initdb)
        try Self.run(
            [
                "/bin/sh", "-c", "cat > '\(dataDirectory)/pg_hba.conf'",
            ], input: Self.hostBasedAuthentication)
        let options =
            ["fsync=off", "listen_addresses=127.0.0.1", "max_connections=200"]
            + ["unix_socket_directories=\(socketDirectory)"] + settings
        (process, port) = try Self.startServer(
            binaries: binaries, dataDirectory: dataDirectory, options: options)
        try execute(Self.users)
    }

    /// Someone else may take the port between the look and the start: then another is tried.
    ///
    /// The server is a child of this process. Through pg_ctl it would inherit the descriptor by
    /// which `Process` sees a child's end, and that would never come.
    private static func startServer(
        binaries: String, dataDirectory: String, options: [String]
    ) throws -> (Process, port: Int) {
        for _ in 0..<5 {
            let port = try freePort()
            let arguments = (options + ["port=\(port)"]).flatMap { ["-c", $0] }
            let process = makeProcess(["\(binaries)/postgres", "-D", dataDirectory] + arguments)
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            let deadline = ContinuousClock.now + .seconds(60)
            while process.isRunning, ContinuousClock.now < deadline {
                let isReady = try? run([
                    "\(binaries)/pg_isready", "-h", "127.0.0.1", "-p", String(port),
                ])
                // Another's server on this port would end ours.
                if isReady != nil, process.isRunning { return (process, port) }
            }
            process.terminate()
        }
        throw Failure(description: "the server did not start")
    }

    /// Runs `sql` through psql as the superuser; returns its rows, columns divided by `|`.
    @discardableResult
    func execute(_ sql: String, database: String = "postgres") throws -> String {
        try Self.run(
            [
                "\(binaries)/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                "-h", socketDirectory, "-p", String(port), "-U", "postgres", "-d", database,
                "-f", "-",
            ], input: sql)
    }

    /// `postgresql://…` over TCP.
    func connectionString(
        user: String = "postgres", password: String? = nil, database: String = "postgres"
    ) -> String {
        let secret = password.map { text in
            ":" + (text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")
        }
        return "postgresql://\(user)\(secret ?? "")@127.0.0.1:\(port)/\(database)"
    }

    func stop() {
        kill(process.processIdentifier, SIGQUIT)
        process.waitUntilExit()
        _ = try? Self.run(["/bin/rm", "-rf", socketDirectory])
    }

    // MARK: Processes

    private static func findBinaries() throws -> String {
        let versions = try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")
        let newest = (versions ?? []).compactMap(Int.init).sorted().last
        if let newest { return "/usr/lib/postgresql/\(newest)/bin" }
        return try run(["/usr/bin/env", "pg_config", "--bindir"])
    }

    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard result == 0 else { throw Failure(description: "no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// The server must not run as root, so nothing here does.
    private static func makeProcess(_ command: [String]) -> Process {
        let asServerUser = [
            "/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
        ]
        let words = (geteuid() == 0 ? asServerUser : []) + command
        let process = Process()
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.currentDirectoryURL = URL(fileURLWithPath: "/tmp")
        return process
    }

    /// Runs a command and returns what it wrote, without white space at the end.
    @discardableResult
    private static func run(_ command: [String], input: String? = nil) throws -> String {
        let process = makeProcess(command)
        let output = Pipe()
        let source = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = source
        try process.run()
        if let input { try source.fileHandleForWriting.write(contentsOf: Data(input.utf8)) }
        try source.fileHandleForWriting.close()
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let text = String(decoding: data, as: UTF8.self)
        guard process.terminationStatus == 0 else {
            throw Failure(description: "\(command[0]) failed: \(text)")
        }
        return text.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
