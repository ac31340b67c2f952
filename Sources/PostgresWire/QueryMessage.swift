import NIOCore

/// Query: text of any number of statements, in the simple protocol.
package struct QueryMessage: Hashable, Sendable {
    package var query: String

    package init(query: String) {
        self.query = query
    }

    /// Throws `protocolViolation` for a body that is not exactly one Query message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        query = try body.readText()
        try body.requireEnd()
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeQuery(query)
    }
}
