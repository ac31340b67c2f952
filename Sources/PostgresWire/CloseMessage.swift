import NIOCore

/// Close: forgets a prepared statement or a portal; naming one that does not exist is no error.
package struct CloseMessage: Hashable, Sendable {
    package typealias Target = DescribeTarget

    package var target: Target
    package var name: String

    package init(target: Target, name: String) {
        self.target = target
        self.name = name
    }

    /// Throws `protocolViolation` for a body that is not exactly one Close message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        target = try Target.read(&body)
        name = try body.readText()
        try body.requireEnd()
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeMessage(FrontendTag.close) { body in
            body.writeInteger(target.rawValue)
            body.writeText(name)
        }
    }
}
