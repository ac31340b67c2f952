import NIOCore

/// One-dimensional arrays of types that `ValueCoding` converts.
enum ArrayCoding {
    static func readText(
        _ buffer: inout ByteBuffer, element: PostgresType
    ) throws(PostgresError) -> String {
        guard let dimensions = buffer.readInteger(as: Int32.self),
            buffer.readInteger(as: Int32.self) != nil,  // whether there are NULLs: seen anyway
            let oid = buffer.readInteger(as: UInt32.self), oid == element.oid
        else { throw invalidBinary }
        if dimensions == 0 { return "{}" }
        guard dimensions == 1 else { throw multidimensional }
        guard let count = buffer.readInteger(as: Int32.self),
            let lowerBound = buffer.readInteger(as: Int32.self), count >= 0,
            Int(count) <= buffer.readableBytes / 4
        else { throw invalidBinary }
        var items: [String] = []
        items.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let length = buffer.readInteger(as: Int32.self) else { throw invalidBinary }
            if length == -1 {
                items.append("NULL")
                continue
            }
            guard length >= 0, let value = buffer.readSlice(length: Int(length)) else {
                throw invalidBinary
            }
            items.append(quoted(try ValueCoding.text(fromBinary: value, type: element)))
        }
        let bounds =
            lowerBound == 1 || count == 0
            ? "" : "[\(lowerBound):\(Int64(lowerBound) + Int64(count) - 1)]="
        return "\(bounds){\(items.joined(separator: ","))}"
    }

    private static func quoted(_ text: String) -> String {
        let needsQuotes =
            text.isEmpty || text.lowercased() == "null"
            || text.utf8.contains {
                $0 == 0x22 || $0 == 0x5C || $0 == 0x7B || $0 == 0x7D || $0 == 0x2C
                    || TextCursor.isSpace($0)
            }
        guard needsQuotes else { return text }
        var bytes: [UInt8] = [0x22]
        for byte in text.utf8 {
            if byte == 0x22 || byte == 0x5C { bytes.append(0x5C) }
            bytes.append(byte)
        }
        bytes.append(0x22)
        return String(decoding: bytes, as: UTF8.self)
    }

    static func write(
        _ text: String, element: PostgresType, to buffer: inout ByteBuffer
    ) throws(PostgresError) {
        let items = try parse(text)
        buffer.writeInteger(Int32(items.isEmpty ? 0 : 1))
        buffer.writeInteger(Int32(items.contains { $0 == nil } ? 1 : 0))
        buffer.writeInteger(element.oid)
        guard !items.isEmpty else { return }
        buffer.writeInteger(Int32(items.count))
        buffer.writeInteger(Int32(1))
        for item in items {
            guard let item else {
                buffer.writeInteger(Int32(-1))
                continue
            }
            let start = buffer.writerIndex
            buffer.writeInteger(Int32(0))
            try ValueCoding.writeBinary(fromText: item, type: element, to: &buffer)
            buffer.setInteger(Int32(buffer.writerIndex - start - 4), at: start)
        }
    }

    /// The items of `{a,"b c",NULL}`; nil is NULL.
    private static func parse(_ text: String) throws(PostgresError) -> [String?] {
        let bytes = Array(TextCursor.trimmed(text))
        guard bytes.first == 0x7B else {
            if bytes.first == 0x5B {
                throw PostgresError(
                    .featureNotSupported, "arrays with explicit bounds cannot be converted")
            }
            throw malformed
        }
        var index = 1
        func skipSpaces() {
            while index < bytes.count, TextCursor.isSpace(bytes[index]) { index += 1 }
        }
        skipSpaces()
        if index == bytes.count - 1, bytes[index] == 0x7D { return [] }
        var items: [String?] = []
        while true {
            skipSpaces()
            items.append(try parseItem(bytes, &index))
            skipSpaces()
            guard index < bytes.count else { throw malformed }
            index += 1
            if bytes[index - 1] == 0x7D { break }
            guard bytes[index - 1] == 0x2C else { throw malformed }
        }
        guard index == bytes.count else { throw malformed }
        return items
    }

    private static func parseItem(
        _ bytes: [UInt8], _ index: inout Int
    ) throws(PostgresError) -> String? {
        var item: [UInt8] = []
        guard index < bytes.count else { throw malformed }
        if bytes[index] == 0x22 {
            index += 1
            while index < bytes.count, bytes[index] != 0x22 {
                if bytes[index] == 0x5C { index += 1 }
                guard index < bytes.count else { throw malformed }
                item.append(bytes[index])
                index += 1
            }
            guard index < bytes.count else { throw malformed }
            index += 1
            return String(decoding: item, as: UTF8.self)
        }
        var isPlain = true
        var significant = 0
        loop: while index < bytes.count {
            switch bytes[index] {
            case 0x2C, 0x7D: break loop
            case 0x7B: throw multidimensional
            case 0x22: throw malformed
            case 0x5C:
                isPlain = false
                index += 1
                guard index < bytes.count else { throw malformed }
                item.append(bytes[index])
                significant = item.count
            case let byte:
                item.append(byte)
                if !TextCursor.isSpace(byte) { significant = item.count }
            }
            index += 1
        }
        // White space before a delimiter does not count unless it was escaped.
        item.removeLast(item.count - significant)
        guard !item.isEmpty else { throw malformed }
        let text = String(decoding: item, as: UTF8.self)
        return isPlain && text.lowercased() == "null" ? nil : text
    }

    private static var malformed: PostgresError {
        PostgresError("22P02", "malformed array literal")
    }

    private static var invalidBinary: PostgresError {
        PostgresError("22P03", "incorrect binary data format for an array")
    }

    private static var multidimensional: PostgresError {
        PostgresError(
            .featureNotSupported,
            "arrays of more than one dimension cannot be converted between text and binary format")
    }
}
