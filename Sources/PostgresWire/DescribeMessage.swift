import NIOCore

/// Describe: asks for the parameter and row types of a statement, or the row types of a portal.
package struct DescribeMessage: Hashable, Sendable {
    package typealias Target = DescribeTarget

    package var target: Target
    package var name: String

    package init(target: Target, name: String) {
        self.target = target
        self.name = name
    }

    /// Throws `protocolViolation` for a body that is not exactly one Describe message.
    package init(decoding body: ByteBuffer) throws(PostgresError) {
        var body = body
        target = try Target.read(&body)
        name = try body.readText()
        try body.requireEnd()
    }

    package func write(to buffer: inout ByteBuffer) {
        buffer.writeMessage(FrontendTag.describe) { body in
            body.writeInteger(target.rawValue)
            body.writeText(name)
        }
    }
}
