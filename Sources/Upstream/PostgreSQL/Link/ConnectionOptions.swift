import CLibPQ
import PostgresWire

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// A connection string's options by libpq keyword.
struct ConnectionOptions {
    private var values: [String: String] = [:]
    /// The host that libpq would take where none is given: its built-in socket directory.
    private(set) var defaultHost: String?
    private(set) var passwordFromFile: String?
    /// Whether the string, the environment or a service names an sslmode; libpq's own default is
    /// not told from it otherwise.
    private(set) var namesSSLMode = false

    /// nil for an option that is not set or empty.
    subscript(keyword: String) -> String? {
        guard let value = values[keyword], !value.isEmpty else { return nil }
        return value
    }

    /// What the string itself says. Throws `F0000`.
    init(parsing text: String) throws(PostgresError) {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(text, &message) else {
            defer { PQfreemem(message) }
            throw Self.failure(message.map { String(cString: $0) } ?? "out of memory")
        }
        defer { PQconninfoFree(options) }
        values = Self.dictionary(options)
    }

    /// What libpq makes of the string with service file, environment, defaults and password file.
    ///
    /// libpq has no call that resolves without connecting. It resolves everything first and then
    /// checks `channel_binding`, so that a value that it cannot know ends the attempt before any
    /// socket is opened. Throws `F0000`.
    init(resolving text: String) throws(PostgresError) {
        let stop = "resolve-only"
        // The real value, for whoever asks; the stop value overrides it in the attempt.
        let given = try ConnectionOptions(parsing: text)
        let channelBinding = given["channel_binding"] ?? given.environment("PGCHANNELBINDING")
        let connection = Self.withCStrings(["dbname", "channel_binding"]) { keywords in
            Self.withCStrings([text, stop]) { PQconnectStartParams(keywords, $0, 1) }
        }
        guard let connection else { throw Self.failure("out of memory") }
        defer { PQfinish(connection) }
        let message = String(cString: PQerrorMessage(connection))
        guard message.contains(stop) else { throw Self.failure(message) }
        guard let options = PQconninfo(connection) else { throw Self.failure("out of memory") }
        defer { PQconninfoFree(options) }
        values = Self.dictionary(options)
        values["channel_binding"] = channelBinding
        namesSSLMode =
            given["sslmode"] != nil || environment("PGSSLMODE") != nil
            || (values["sslmode"] ?? "prefer") != "prefer"
        defaultHost = PQhost(connection).map { String(cString: $0) }
        passwordFromFile = PQpass(connection).map { String(cString: $0) }
        if passwordFromFile?.isEmpty == true { passwordFromFile = nil }
    }

    func environment(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    private static func dictionary(
        _ options: UnsafeMutablePointer<PQconninfoOption>
    ) -> [String: String] {
        var values: [String: String] = [:]
        var option = options
        while let keyword = option.pointee.keyword {
            if let value = option.pointee.val {
                values[String(cString: keyword)] = String(cString: value)
            }
            option += 1
        }
        return values
    }

    /// Calls `body` with a null-terminated array of C strings.
    private static func withCStrings<Result>(
        _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Result
    ) -> Result {
        let copies = strings.map { strdup($0) }
        defer {
            for copy in copies { free(copy) }
        }
        let pointers = copies.map { $0.map { UnsafePointer($0) } } + [nil]
        return pointers.withUnsafeBufferPointer { buffer in
            // Never empty: it holds the terminator.
            buffer.baseAddress.map(body) ?? body([nil])
        }
    }

    /// libpq quotes what it found, which may be a password: only what comes before is kept.
    private static func failure(_ message: String) -> PostgresError {
        let shown = message.prefix { $0 != "\"" && $0 != "\n" }
        var reason = String(shown)
        while let last = reason.last, last == " " || last == ":" { reason.removeLast() }
        return PostgreSQLUpstreamSettings.invalid(reason)
    }
}
