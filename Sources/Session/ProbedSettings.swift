import NIOCore
import PostgresWire
import Upstream

/// Gathers the settings that the server answers to a probe: rows of name and value as text.
///
/// Asked for when something has happened that the session cannot follow, so that its reads may be
/// answered from memory again (correctness: cache off until the fingerprint is proved).
final class ProbedSettings {
    /// The row that tells whether the session has temporary objects.
    static let temporaryObjectsRow = "mynah.temporary_objects"
    /// Far more than the rows of the probe take.
    private static let limit = 64 * 1024

    /// The row that tells whether the session has advisory locks, and the question for it.
    static let sessionLocksRow = "mynah.session_locks"
    /// Locks by which nodes mark their connections (`LeadershipLock`) are no client's.
    static let sessionLocksQuestion = """
        SELECT '\(sessionLocksRow)', CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE \
        l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.pid OPERATOR(pg_catalog.=) \
        pg_catalog.pg_backend_pid() AND NOT (l.objsubid OPERATOR(pg_catalog.=) 2 AND l.mode \
        OPERATOR(pg_catalog.=) 'ShareLock' AND (l.classid::pg_catalog.int8 OPERATOR(pg_catalog.>>) \
        16) OPERATOR(pg_catalog.=) \(LeadershipLock.claimClasses))) THEN 't' ELSE 'f' END
        """

    /// Asked in order to see what still ties the session to its connection.
    var asksForPins = false
    /// The dotted settings that were asked for.
    let customNames: [String]
    private var rows = ByteBuffer()

    init(customNames: [String] = []) {
        self.customNames = customNames
    }

    /// Takes whole or partial DataRow messages.
    func append(_ bytes: ByteBuffer) {
        guard rows.readableBytes + bytes.readableBytes <= Self.limit else { return }
        rows.writeImmutableBuffer(bytes)
    }

    /// The settings by lower-case name. A row of another shape is passed over.
    func values() -> [String: String] {
        var values: [String: String] = [:]
        var rows = rows
        while let frame = try? MessageFraming.next(in: &rows, limit: Self.limit) {
            var body = frame.body
            guard body.readInteger(as: UInt16.self) == 2, let name = Self.column(&body),
                let value = Self.column(&body)
            else { continue }
            values[name.lowercased()] = value
        }
        return values
    }

    private static func column(_ body: inout ByteBuffer) -> String? {
        guard let length = body.readInteger(as: Int32.self), length >= 0 else { return nil }
        return body.readString(length: Int(length))
    }
}
