import NIOCore

/// Text on the wire as `String`, without loss.
///
/// Text may be in any client encoding. Bytes that are not UTF-8 become private-use scalars
/// (U+10FF00 + byte), one each, and are written back as the bytes that they were. Bytes that spell
/// such a scalar are treated likewise, so that different bytes never become equal strings: a
/// lossy repair would give two statements one cache key.
enum WireText {
    private static let escapeBase: UInt32 = 0x10_FF00

    static func string(_ bytes: some Collection<UInt8>) -> String {
        let fast = bytes.withContiguousStorageIfAvailable { buffer -> String? in
            // Escape scalars are F4 8F BC.. to F4 8F BF.. in UTF-8: rare enough for a plain look.
            guard !buffer.contains(0xF4) else { return nil }
            return String(validating: buffer, as: UTF8.self)
        }
        if case .some(.some(let text)) = fast { return text }
        return escaped(Array(bytes))
    }

    private static func escaped(_ bytes: [UInt8]) -> String {
        var scalars = String.UnicodeScalarView()
        var index = 0
        while index < bytes.count {
            let length = sequenceLength(bytes, at: index)
            if length > 0,
                let text = String(validating: bytes[index..<index + length], as: UTF8.self),
                let scalar = text.unicodeScalars.first, scalar.value & 0xFF_FF00 != escapeBase
            {
                scalars.append(scalar)
                index += length
            } else {
                if let scalar = Unicode.Scalar(escapeBase + UInt32(bytes[index])) {
                    scalars.append(scalar)
                }
                index += 1
            }
        }
        return String(scalars)
    }

    /// Bytes that the sequence at `index` would take, 0 where none starts or it is cut off.
    private static func sequenceLength(_ bytes: [UInt8], at index: Int) -> Int {
        let length =
            switch bytes[index] {
            case 0x00...0x7F: 1
            case 0xC2...0xDF: 2
            case 0xE0...0xEF: 3
            case 0xF0...0xF4: 4
            default: 0
            }
        return length <= bytes.count - index ? length : 0
    }

    static func write(_ text: String, to buffer: inout ByteBuffer) {
        guard text.utf8.contains(0xF4) else {
            buffer.writeString(text)
            return
        }
        for scalar in text.unicodeScalars {
            if scalar.value & 0xFF_FF00 == escapeBase {
                buffer.writeInteger(UInt8(truncatingIfNeeded: scalar.value))
            } else {
                buffer.writeBytes(Array(String(scalar).utf8))
            }
        }
    }
}
