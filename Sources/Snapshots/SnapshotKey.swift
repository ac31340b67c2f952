import Crypto
import Foundation

/// The key that snapshots are encrypted with. Printing it shows nothing of it.
package struct SnapshotKey: Sendable, CustomStringConvertible, CustomReflectable {
    let value: SymmetricKey

    private static let length = 32

    /// Reads 64 hexadecimal digits or base64; white space around it does not count. Throws
    /// `unusableKey` for anything but 32 bytes.
    package init(_ text: String) throws(SnapshotError) {
        guard let bytes = Self.bytes(of: text) else { throw .unusableKey }
        value = SymmetricKey(data: bytes)
    }

    /// The 32 bytes of a key's text, as all keys of the configuration are written: 64 hexadecimal
    /// digits or base64, white space around it not counted; nil where it is none.
    package static func bytes(of text: String) -> Data? {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard let bytes = hexadecimal(text) ?? Data(base64Encoded: text), bytes.count == length
        else { return nil }
        return bytes
    }

    private static func hexadecimal(_ text: String) -> Data? {
        guard text.utf8.count == 2 * length, text.allSatisfy(\.isASCII) else { return nil }
        var bytes = Data()
        var rest = Substring(text)
        while !rest.isEmpty {
            let pair = rest.prefix(2)
            guard pair.allSatisfy(\.isHexDigit), let byte = UInt8(pair, radix: 16) else {
                return nil
            }
            bytes.append(byte)
            rest = rest.dropFirst(2)
        }
        return bytes
    }

    package var description: String { "(key)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
