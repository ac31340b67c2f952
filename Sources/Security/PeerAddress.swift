import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where a client connects from.
package enum PeerAddress: Hashable, Sendable, CustomStringConvertible {
    case unix
    /// Four bytes, also of an IPv4 address that came mapped into IPv6; else sixteen.
    case network([UInt8])
    /// Neither is known: nobody is trusted there.
    case unknown

    /// - Parameters:
    ///   - remote: the peer's address; a client of a Unix-domain socket mostly has none.
    ///   - local: our own end's.
    package init(remote: SocketAddress?, local: SocketAddress?) {
        switch remote ?? local {
        case .unixDomainSocket: self = .unix
        case .v4(let address) where remote != nil:
            let bytes = withUnsafeBytes(of: address.address.sin_addr) { Array($0) }
            self = .network(bytes)
        case .v6(let address) where remote != nil:
            let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
            self = .network(AddressBlock.unmapped(bytes))
        case .v4, .v6, nil: self = .unknown
        }
    }

    /// Whether it is on this machine.
    package var isLocal: Bool {
        switch self {
        case .unix: true
        case .network(let bytes): AddressBlock.loopback.contains { $0.contains(bytes) }
        case .unknown: false
        }
    }

    /// The peers that count as one where attempts are counted: an IPv6 site has 2^64 addresses. Nil
    /// where peers cannot be told apart.
    package var group: Group? {
        guard case .network(let bytes) = self else { return nil }
        let isV6 = bytes.count == 16
        return Group(
            isV6: isV6, prefix: bytes.prefix(isV6 ? 8 : 4).reduce(0) { $0 << 8 | UInt64($1) })
    }

    package struct Group: Hashable, Sendable {
        let isV6: Bool
        let prefix: UInt64
    }

    /// As the server writes it in its errors.
    package var description: String {
        switch self {
        case .unix: "[local]"
        case .unknown: "[unknown]"
        case .network(let bytes): AddressBlock.text(bytes)
        }
    }
}
