/// Text of uuid: 8-4-4-4-12 out; in, hyphens after any group of four digits, and braces.
enum UUIDCoding {
    static func text(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, byte) in bytes.enumerated() {
            if index == 4 || index == 6 || index == 8 || index == 10 { text.append(0x2D) }
            Hex.append(byte, to: &text)
        }
        return String(decoding: text, as: UTF8.self)
    }

    static func bytes(_ text: String) throws(PostgresError) -> [UInt8] {
        var source = Array(text.utf8)[...]
        if source.first == 0x7B {
            guard source.last == 0x7D, source.count > 1 else { throw invalid }
            source = source.dropFirst().dropLast()
        }
        var bytes: [UInt8] = []
        while bytes.count < 16 {
            guard let first = source.popFirst(), let second = source.popFirst(),
                let high = Hex.value(first), let low = Hex.value(second)
            else { throw invalid }
            bytes.append(high << 4 | low)
            if bytes.count % 2 == 0, bytes.count < 16, source.first == 0x2D {
                source.removeFirst()
            }
        }
        guard source.isEmpty else { throw invalid }
        return bytes
    }

    private static var invalid: PostgresError { ValueCoding.invalidText(.uuid) }
}
