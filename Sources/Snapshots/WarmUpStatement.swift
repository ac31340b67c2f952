import NIOCore
import ResultCache

/// A statement as a cache key holds it: something to be run again.
package struct WarmUpStatement: Sendable {
    /// Who asked, as the snapshot calls them.
    package let identity: UInt64
    package let text: String
    package let parameterTypes: [UInt32]
    /// What follows the two names in its Bind message.
    package let bindTail: ByteBuffer

    /// nil where it was prepared under other settings than it ran with, or the key is none
    /// (`CacheKeyWriter` in `Session` has the layout).
    package init?(_ record: ReplyRecord) {
        guard record.identities.now == record.identities.atParse else { return nil }
        var rest = record.restOfKey
        guard let length = rest.readInteger(as: UInt32.self),
            let bytes = rest.readBytes(length: Int(length)),
            let text = String(validating: bytes, as: UTF8.self), !bytes.contains(0),
            let count = rest.readInteger(as: UInt16.self),
            rest.readableBytes >= Int(count) * 4
        else { return nil }
        var types: [UInt32] = []
        for _ in 0..<count {
            guard let type = rest.readInteger(as: UInt32.self) else { return nil }
            types.append(type)
        }
        identity = record.identities.now
        self.text = text
        parameterTypes = types
        bindTail = rest
    }

    /// Neither parameters nor formats: what a simple Query asks for.
    package var isPlain: Bool {
        parameterTypes.isEmpty && bindTail.readableBytesView.allSatisfy { $0 == 0 }
            && bindTail.readableBytes == 6
    }
}
