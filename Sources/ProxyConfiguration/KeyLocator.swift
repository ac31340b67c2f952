/// Finds the lines of keys in the text of a TOML document, which the parser does not tell.
///
/// Reads the structure alone (headers, keys, and enough of values to find their ends), of documents
/// that the parser has accepted; of any other text it makes what it can, without failing.
struct KeyLocator {
    /// One step of a key's path: `rule[1].ttl` is `.key("rule"), .index(1), .key("ttl")`.
    enum Step: Hashable {
        case key(String)
        case index(Int)
    }

    private var lines: [[Step]: Int] = [:]

    init(_ text: String) {
        var scanner = Scanner(bytes: Array(text.utf8))
        scanner.scanDocument()
        lines = scanner.lines
    }

    /// The line of the key at `path`, or else of the closest table around it that has one.
    func line(of path: [Step]) -> Int? {
        var path = path
        while !path.isEmpty {
            if let line = lines[path] {
                return line
            }
            path.removeLast()
        }
        return nil
    }

    private struct Scanner {
        let bytes: [UInt8]
        var position = 0
        var line = 1
        var lines: [[Step]: Int] = [:]
        var arrayCounts: [[Step]: Int] = [:]

        init(bytes: [UInt8]) {
            self.bytes = bytes
        }

        var current: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func advance() {
            if current == UInt8(ascii: "\n") {
                line += 1
            }
            position += 1
        }

        func at(_ text: StaticString) -> Bool {
            let rest = bytes[position...]
            return text.withUTF8Buffer { rest.starts(with: $0) }
        }

        mutating func record(_ path: [Step]) {
            if lines[path] == nil {
                lines[path] = line
            }
        }

        mutating func scanDocument() {
            var table: [Step] = []
            while true {
                skipBlank(newlines: true)
                guard let byte = current else { return }
                if byte == UInt8(ascii: "[") {
                    table = scanHeader()
                } else {
                    scanPair(in: table)
                }
                skipLine()
            }
        }

        mutating func scanHeader() -> [Step] {
            let isArray = at("[[")
            advance()
            if isArray {
                advance()
            }
            var path: [Step] = []
            let parts = scanKey()
            for (offset, part) in parts.enumerated() {
                path.append(.key(part))
                record(path)
                // A header below an array of tables is about the array's last table.
                if offset < parts.count - 1, let count = arrayCounts[path] {
                    path.append(.index(count - 1))
                }
            }
            if isArray {
                let index = arrayCounts[path, default: 0]
                arrayCounts[path] = index + 1
                path.append(.index(index))
                record(path)
            }
            return path
        }

        /// `key = value`, to the value's end.
        mutating func scanPair(in table: [Step]) {
            var path = table
            let before = position
            for part in scanKey() {
                path.append(.key(part))
                record(path)
            }
            skipBlank(newlines: false)
            if current == UInt8(ascii: "=") {
                advance()
                skipBlank(newlines: false)
                scanValue(at: path)
            } else if position == before {
                advance()
            }
        }

        /// A dotted key of bare and quoted parts.
        mutating func scanKey() -> [String] {
            var parts: [String] = []
            while true {
                skipBlank(newlines: false)
                if current == UInt8(ascii: "\"") || current == UInt8(ascii: "'") {
                    let start = position + 1
                    skipString()
                    let end = max(start, min(position - 1, bytes.count))
                    parts.append(String(decoding: bytes[start..<end], as: UTF8.self))
                } else {
                    let start = position
                    while let byte = current, Self.isBareKey(byte) {
                        advance()
                    }
                    guard position > start else { return parts }
                    parts.append(String(decoding: bytes[start..<position], as: UTF8.self))
                }
                skipBlank(newlines: false)
                guard current == UInt8(ascii: ".") else { return parts }
                advance()
            }
        }

        mutating func scanValue(at path: [Step]) {
            switch current {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                skipString()
            case UInt8(ascii: "["):
                scanList(until: UInt8(ascii: "]")) { scanner, index in
                    let element = path + [.index(index)]
                    scanner.record(element)
                    scanner.scanValue(at: element)
                }
            case UInt8(ascii: "{"):
                scanList(until: UInt8(ascii: "}")) { scanner, _ in
                    scanner.scanPair(in: path)
                }
            default:
                while let byte = current, byte != UInt8(ascii: "\n"), byte != UInt8(ascii: ","),
                    byte != UInt8(ascii: "]"), byte != UInt8(ascii: "}"),
                    byte != UInt8(ascii: "#")
                {
                    advance()
                }
            }
        }

        mutating func scanList(until end: UInt8, element: (inout Scanner, Int) -> Void) {
            advance()
            var index = 0
            while true {
                skipBlank(newlines: true)
                guard let byte = current else { return }
                if byte == end {
                    advance()
                    return
                }
                if byte == UInt8(ascii: ",") {
                    advance()
                    continue
                }
                let before = position
                element(&self, index)
                index += 1
                if position == before {
                    advance()
                }
            }
        }

        /// One string of any of the four kinds, quotes included.
        mutating func skipString() {
            guard let quote = current else { return }
            let isLong = at("\"\"\"") || at("'''")
            let quotes = isLong ? 3 : 1
            for _ in 0..<quotes {
                advance()
            }
            while let byte = current {
                if byte == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                    advance()
                } else if byte == quote {
                    let closing = bytes[position...].prefix(quotes)
                    if closing.count == quotes, closing.allSatisfy({ $0 == quote }) {
                        for _ in 0..<quotes {
                            advance()
                        }
                        return
                    }
                } else if byte == UInt8(ascii: "\n"), !isLong {
                    return
                }
                if current != nil {
                    advance()
                }
            }
        }

        mutating func skipBlank(newlines: Bool) {
            while let byte = current {
                switch byte {
                case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                    advance()
                case UInt8(ascii: "\n") where newlines:
                    advance()
                case UInt8(ascii: "#") where newlines:
                    skipLine()
                default:
                    return
                }
            }
        }

        mutating func skipLine() {
            while let byte = current, byte != UInt8(ascii: "\n") {
                advance()
            }
        }

        static func isBareKey(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default:
                false
            }
        }
    }
}
