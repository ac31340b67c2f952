import NIOCore

/// Execute: runs a portal.
package struct ExecuteMessage: Hashable, Sendable {
    package var portal: String
    /// 0 or less is no limit.
    package var maximumRows: Int32

    package init(portal: String = "", maximumRows: Int32 = 0) {
        self.portal = portal
        self.maximumRows = maximumRows
    }

    /// Throws `protocolViolation` for a body that is not exactly one Execute message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        portal = try body.readText()
        maximumRows = try body.readField()
        try body.requireEnd()
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeMessage(FrontendTag.execute) { body in
            body.writeText(portal)
            body.writeInteger(maximumRows)
        }
    }
}
