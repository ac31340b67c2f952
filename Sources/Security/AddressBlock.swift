#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A block of addresses in CIDR notation (RFC 4632, RFC 4291).
///
/// IPv4 and IPv6 do not match each other, but for IPv4 addresses mapped into IPv6
/// (`::ffff:10.0.0.1`), which are those of IPv4.
package struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// Four or sixteen.
    private let address: [UInt8]
    private let prefixLength: Int

    package static let notation = "\"192.0.2.0/24\" or \"2001:db8::/32\""

    static let loopback: [AddressBlock] = [
        AddressBlock(address: [127, 0, 0, 0], prefixLength: 8),
        AddressBlock(address: [UInt8](repeating: 0, count: 15) + [1], prefixLength: 128),
    ]

    private init(address: [UInt8], prefixLength: Int) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Reads `address` or `address/length`. Nil when it is neither, and where bits are set beyond
    /// the prefix: then one of the two is a mistake.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let bytes = Self.bytes(String(parts[0])) else { return nil }
        var length = bytes.count * 8
        if parts.count == 2 {
            guard (1...3).contains(parts[1].utf8.count),
                parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let given = Int(parts[1]), given <= length
            else { return nil }
            length = given
        }
        guard Self.masked(bytes, length) == bytes else { return nil }
        let plain = Self.unmapped(bytes)
        if plain.count < bytes.count, length >= 96 {
            self.init(address: plain, prefixLength: length - 96)
        } else {
            self.init(address: bytes, prefixLength: length)
        }
    }

    /// `bytes` are an address of four or sixteen, not a mapped one.
    package func contains(_ bytes: [UInt8]) -> Bool {
        bytes.count == address.count && Self.masked(bytes, prefixLength) == address
    }

    /// Whether every address of it is of this machine.
    package var isLoopback: Bool {
        Self.loopback.contains { $0.contains(address) && $0.prefixLength <= prefixLength }
    }

    package var description: String { "\(Self.text(address))/\(prefixLength)" }

    private static func masked(_ bytes: [UInt8], _ prefixLength: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let bits = min(8, max(0, prefixLength - index * 8))
            return byte & UInt8(truncatingIfNeeded: 0xFF00 >> bits)
        }
    }

    /// The IPv4 address within a mapped one; any other as it is.
    static func unmapped(_ bytes: [UInt8]) -> [UInt8] {
        let prefix: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        return bytes.count == 16 && bytes.starts(with: prefix) ? Array(bytes[12...]) : bytes
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        guard !text.utf8.contains(0) else { return nil }
        var address = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &address) == 1 { return Array(address[..<4]) }
        return inet_pton(AF_INET6, text, &address) == 1 ? address : nil
    }

    static func text(_ bytes: [UInt8]) -> String {
        // The longest text, a mapped address, has 45 characters.
        var text = [CChar](repeating: 0, count: 64)
        let family = bytes.count == 4 ? AF_INET : AF_INET6
        guard inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else { return "?" }
        return String(
            decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
