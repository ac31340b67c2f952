/// Reads the JSON text that libpg_query prints for a parse tree.
///
/// Foundation's reader takes several times as long as the parse itself; this one knows only what
/// the library prints, and refuses everything else.
struct SyntaxTreeReader {
    /// Levels of objects and arrays; a level of the tree takes two to four of them.
    static let maximumDepth = 4_000

    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private var depth = 0

    static func read(_ bytes: UnsafeRawBufferPointer) throws(PgQuery.Failure) -> SyntaxTree {
        var reader = SyntaxTreeReader(bytes: bytes)
        let tree = try reader.value()
        guard reader.index == bytes.count else { throw .malformedTree }
        return tree
    }

    private init(bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    private func peek() throws(PgQuery.Failure) -> UInt8 {
        guard index < bytes.count else { throw .malformedTree }
        return bytes[index]
    }

    private mutating func take(_ byte: UInt8) throws(PgQuery.Failure) {
        guard try peek() == byte else { throw .malformedTree }
        index += 1
    }

    private mutating func value() throws(PgQuery.Failure) -> SyntaxTree {
        switch try peek() {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object() throws(PgQuery.Failure) -> SyntaxTree {
        try enter()
        defer { depth -= 1 }
        index += 1
        var members: [SyntaxTree.Member] = []
        if try peek() == UInt8(ascii: "}") {
            index += 1
            return .object([])
        }
        while true {
            let name = try string()
            try take(UInt8(ascii: ":"))
            members.append(SyntaxTree.Member(name: name, value: try value()))
            if try peek() == UInt8(ascii: "}") {
                index += 1
                return .object(members)
            }
            try take(UInt8(ascii: ","))
        }
    }

    private mutating func array() throws(PgQuery.Failure) -> SyntaxTree {
        try enter()
        defer { depth -= 1 }
        index += 1
        var elements: [SyntaxTree] = []
        if try peek() == UInt8(ascii: "]") {
            index += 1
            return .array([])
        }
        while true {
            elements.append(try value())
            if try peek() == UInt8(ascii: "]") {
                index += 1
                return .array(elements)
            }
            try take(UInt8(ascii: ","))
        }
    }

    private mutating func enter() throws(PgQuery.Failure) {
        depth += 1
        guard depth <= Self.maximumDepth else { throw .tooDeep }
    }

    private mutating func word(
        _ word: StaticString, _ tree: SyntaxTree
    ) throws(PgQuery.Failure) -> SyntaxTree {
        for offset in 0..<word.utf8CodeUnitCount { try take(word.utf8Start[offset]) }
        return tree
    }

    private mutating func number() throws(PgQuery.Failure) -> SyntaxTree {
        let negative = try peek() == UInt8(ascii: "-")
        if negative { index += 1 }
        var value = 0
        var digits = 0
        while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39 {
            guard digits < 18 else { throw .malformedTree }
            value = value * 10 + Int(bytes[index] - 0x30)
            digits += 1
            index += 1
        }
        guard digits > 0 else { throw .malformedTree }
        return .integer(negative ? -value : value)
    }

    private mutating func string() throws(PgQuery.Failure) -> String {
        try take(UInt8(ascii: "\""))
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\""),
            bytes[index] != UInt8(ascii: "\\")
        {
            index += 1
        }
        guard index < bytes.count else { throw .malformedTree }
        if bytes[index] == UInt8(ascii: "\"") {
            defer { index += 1 }
            return String(decoding: bytes[start..<index], as: UTF8.self)
        }
        return try escapedString(from: start)
    }

    private mutating func escapedString(from start: Int) throws(PgQuery.Failure) -> String {
        var text = Array(bytes[start..<index])
        while true {
            let byte = try peek()
            index += 1
            if byte == UInt8(ascii: "\"") { return String(decoding: text, as: UTF8.self) }
            guard byte == UInt8(ascii: "\\") else {
                text.append(byte)
                continue
            }
            let escape = try peek()
            index += 1
            switch escape {
            case UInt8(ascii: "b"): text.append(0x08)
            case UInt8(ascii: "f"): text.append(0x0c)
            case UInt8(ascii: "n"): text.append(0x0a)
            case UInt8(ascii: "r"): text.append(0x0d)
            case UInt8(ascii: "t"): text.append(0x09)
            case UInt8(ascii: "u"): text.append(try controlCharacter())
            default: text.append(escape)
            }
        }
    }

    /// The library writes \uXXXX only for control characters (and `<`, `>`): one byte each.
    private mutating func controlCharacter() throws(PgQuery.Failure) -> UInt8 {
        guard bytes.count - index >= 4,
            let code = UInt8(
                String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
        else { throw .malformedTree }
        index += 4
        return code
    }
}
