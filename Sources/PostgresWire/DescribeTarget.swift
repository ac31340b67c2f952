import NIOCore

/// What a Describe or Close message names.
package enum DescribeTarget: UInt8, Hashable, Sendable {
    case statement = 0x53  // S
    case portal = 0x50  // P

    static func read(
        _ body: inout ByteBuffer
    ) throws(PostgresError) -> DescribeTarget {
        guard let target = DescribeTarget(rawValue: try body.readField()) else {
            throw PostgresError(.protocolViolation, "invalid DESCRIBE or CLOSE message subtype")
        }
        return target
    }
}
